import { readPart } from '../catalog/read-part.ts';
import { Failure } from '../model/failure.ts';
import { libpqEnvironment } from '../postgres/libpq-environment.ts';
import { chooseTools } from '../postgres/tools.ts';
import type { ClientTools } from '../postgres/tools.ts';
import { runTool } from '../runtime/subprocess.ts';
import type { RestoreRequest } from './request.ts';

/** The first major that knows transaction_timeout, which pg_restore of that major and later sets. */
const KNOWS_TRANSACTION_TIMEOUT = 17;

/**
 * Restores a snapshot of engine pg_dump: pg_restore reads it as a stream and runs it in one transaction, so that
 * a restore that fails or is killed leaves the target as it was. A pg_restore that is newer than an older target
 * prints for psql instead, as it would fail over a setting that the target does not know (TESTBED, "pg_dump and
 * pg_restore across majors"); large objects then commit on their own.
 */
export async function restoreDump(request: RestoreRequest, targetMajor: number): Promise<void> {
  const tools = chooseTools(request.tools, Math.trunc(request.manifest.server.version / 10_000));
  const direct = tools.major < KNOWS_TRANSACTION_TIMEOUT || targetMajor >= KNOWS_TRANSACTION_TIMEOUT;
  const output = direct
    ? pgRestore(request, tools, ['--single-transaction', `--dbname=${request.target.database}`])
    : runTool({
        file: tools.psql,
        args: [
          '--no-psqlrc',
          '--quiet',
          '--no-password',
          '--single-transaction',
          '--set=ON_ERROR_STOP=1',
          '--output=/dev/null',
        ],
        environment: libpqEnvironment(request.target, { job: 'restore' }),
        stdin: withoutTransactionTimeout(pgRestore(request, tools, ['--file=-'])),
        signal: request.signal,
      });
  for await (const chunk of output) void chunk;
}

function pgRestore(
  request: RestoreRequest,
  tools: ClientTools,
  args: readonly string[],
): AsyncIterable<Buffer> {
  const { repository, manifest, scope, signal } = request;
  const part = manifest.parts.find((candidate) => candidate.role === 'full-custom');
  if (part === undefined) throw new Failure('integrity.format', `snapshot ${manifest.id} has no dump`);
  const section = { all: [], 'schema-only': ['--schema-only'], 'data-only': ['--data-only'] }[scope.part];
  return runTool({
    file: tools.pgRestore,
    args: [
      '--no-password',
      ...args,
      ...section,
      ...(request.owners ? [] : ['--no-owner']),
      ...(request.privileges ? [] : ['--no-acl']),
    ],
    environment: libpqEnvironment(request.target, { job: 'restore' }),
    stdin: readPart({ repository, manifest, part }, request),
    signal,
  });
}

/** The settings stand in the script's first lines, long before anything of the user's. */
const PREAMBLE_BYTES = 8192;

async function* withoutTransactionTimeout(script: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  let preamble: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of script) {
    if (preamble === undefined) {
      yield chunk;
      continue;
    }
    preamble = Buffer.concat([preamble, chunk]);
    if (preamble.length < PREAMBLE_BYTES) continue;
    yield cut(preamble);
    preamble = undefined;
  }
  if (preamble !== undefined) yield cut(preamble);
}

function cut(preamble: Buffer): Buffer {
  const line = Buffer.from('\nSET transaction_timeout = 0;\n');
  const at = preamble.indexOf(line);
  return at === -1
    ? preamble
    : Buffer.concat([preamble.subarray(0, at + 1), preamble.subarray(at + line.length)]);
}
