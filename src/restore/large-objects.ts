import { readPart } from '../catalog/read-part.ts';
import { Failure } from '../model/failure.ts';
import { libpqEnvironment } from '../postgres/libpq-environment.ts';
import { chooseTools } from '../postgres/tools.ts';
import type { ClientTools } from '../postgres/tools.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { runTool } from '../runtime/subprocess.ts';
import { selectAll, selectFromDump } from './dump-selection.ts';
import type { RestoreProgress } from './progress.ts';
import { readDumpList } from './read-schema.ts';
import type { RestoreRequest } from './request.ts';
import { largeObjectIds } from './schema-script.ts';
import { dumpInput } from './staged-dump.ts';
import type { DumpInput } from './staged-dump.ts';

const ITEM = 'phase:large-objects';

/**
 * Restores large objects: what pg_restore prints goes through psql in one transaction that also records it, so
 * that it happens once. Nothing to do for a snapshot without any.
 */
export async function restoreLargeObjects(request: RestoreRequest, progress: RestoreProgress): Promise<void> {
  const { manifest, signal } = request;
  const tools = chooseTools(request.tools, Math.trunc(manifest.server.version / 10_000));
  if (progress.has(ITEM)) return;
  await using source = await sourceOf(request, tools);
  if (source === undefined) return;
  const script = runTool({
    file: tools.pgRestore,
    args: [
      '--file=-',
      ...(request.clean ? ['--clean', '--if-exists'] : ['--data-only']),
      ...(request.owners ? [] : ['--no-owner']),
      ...(request.privileges ? [] : ['--no-acl']),
      ...source.args,
    ],
    environment: {},
    ...(source.stdin !== undefined && { stdin: source.stdin }),
    signal,
  });
  const printed = runTool({
    file: tools.psql,
    args: ['--no-psqlrc', '--quiet', '--no-password', '--set=ON_ERROR_STOP=1', '--output=/dev/null'],
    environment: libpqEnvironment(request.target, { job: 'restore' }),
    stdin: inOneTransaction(script, progress.record([ITEM])),
    signal,
  });
  try {
    for await (const chunk of printed) void chunk;
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'tool.failed') throw error;
    throw new Failure('target.error', 'the large objects could not be restored', {
      facts: { snapshot: manifest.id },
      cause: error,
    });
  }
  await failpoint('restore.large-objects-committed');
  progress.committed([ITEM]);
}

/** Where they lie: in a dump of their own, or among all else in one of engine pg_dump. Undefined: nowhere. */
async function sourceOf(
  request: RestoreRequest,
  tools: ClientTools,
): Promise<(DumpInput & AsyncDisposable) | undefined> {
  const { repository, manifest } = request;
  const part = manifest.parts.find((candidate) => candidate.role === 'large-objects');
  if (part !== undefined)
    return {
      ...selectAll(),
      stdin: readPart({ repository, manifest, part }, { ...request, proof: 'first' }),
    };
  if (manifest.engine === 'copy') return undefined;
  const ids = largeObjectIds(await readDumpList(request, tools));
  if (ids.length === 0) return undefined;
  const selection = await selectFromDump(ids);
  const input = dumpInput(request);
  return { ...selection, ...input, args: [...selection.args, ...input.args] };
}

/**
 * Lines of a pg_restore script that do not belong into one transaction on any major: its own transactions, psql's
 * meta-commands, a setting that servers before 17 don't know, and sequence positions, which have their own phase.
 */
const LEFT_OUT =
  /^(?:BEGIN;|COMMIT;|SET transaction_timeout = 0;|\\(?:un)?restrict .*|SELECT pg_catalog\.setval\(.*)$/;

async function* inOneTransaction(script: AsyncIterable<Uint8Array>, last: string): AsyncIterable<Buffer> {
  yield Buffer.from('BEGIN;\n');
  let rest = '';
  const decoder = new TextDecoder('latin1');
  for await (const chunk of script) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    const kept = lines.filter((line) => !LEFT_OUT.test(line));
    if (kept.length > 0) yield Buffer.from(`${kept.join('\n')}\n`, 'latin1');
  }
  await failpoint('restore.large-objects-unrecorded');
  yield Buffer.from(`${rest}\n${last};\nCOMMIT;\n`, 'latin1');
}
