import type { Manifest } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import type { ClientTools } from '../postgres/tools.ts';
import { captureTool } from '../runtime/subprocess.ts';
import { dropsCaptureObject, isCaptureObject } from './capture-objects.ts';
import { selectAll, selectFromDump } from './dump-selection.ts';
import type { ProjectDrops } from './into-supabase.ts';
import type { RestoreRequest } from './request.ts';
import { parseList, parseScript } from './schema-script.ts';
import type { ListedEntry, SchemaEntry } from './schema-script.ts';
import { dumpInput } from './staged-dump.ts';

/** A schema's SQL is held in memory; this bounds it. */
const MAX_SCRIPT_BYTES = 512 * 1024 * 1024;

/** All entries of a snapshot's schema, in the archive's order; without what change capture keeps on a source. */
export async function readSchema(request: RestoreRequest, tools: ClientTools): Promise<SchemaEntry[]> {
  const run = printer(request, tools);
  // With --create what is said of the database itself is among it.
  const what = ['--schema-only', '--create'];
  const list = parseList(text(await run(['--list', ...what]), request.manifest));
  const script = text(await run(['--verbose', '--file=-', ...what]), request.manifest);
  const own = new Set(list.filter((entry) => isCaptureObject(entry)).map((entry) => entry.dumpId));
  return parseScript(script, list).filter((entry) => !own.has(entry.dumpId));
}

/** Everything that the dump holds, data and all, in its own order. */
export async function readDumpList(request: RestoreRequest, tools: ClientTools): Promise<ListedEntry[]> {
  return parseList(text(await printer(request, tools)(['--list']), request.manifest));
}

/**
 * What goes with its table need not be dropped before, and of a partition can't be. Foreign keys are dropped
 * by the caller.
 */
const GOES_WITH_ITS_TABLE = /^(?:ALTER TABLE (?:IF EXISTS )?(?:ONLY )?[^;]* DROP CONSTRAINT |DROP INDEX )/;

/**
 * The statements that drop what the schema lists, or of it what `only` says, in reverse order; every one with IF
 * EXISTS.
 */
export async function readDropScript(
  request: RestoreRequest,
  tools: ClientTools,
  only?: ProjectDrops,
): Promise<string> {
  await using selection = only === undefined ? selectAll() : await selectFromDump(only.dumpIds);
  const args = ['--clean', '--if-exists', '--schema-only', '--file=-', ...selection.args];
  const script = text(await printer(request, tools)(args), request.manifest);
  const large = await readLargeObjectDrops(request, tools);
  const start = script.search(/^(?:DROP|ALTER TABLE) /m);
  const end = script.search(/^--\n-- Name: .*; Type: /m);
  if (start === -1 || end < start) return large;
  const statements = script.slice(start, end).split(/(?<=;)\n+/);
  const drops = statements
    .filter((statement) => !GOES_WITH_ITS_TABLE.test(statement) && !dropsCaptureObject(statement))
    .map((statement) => withItsTriggers(statement, only));
  return [...drops, large].join('\n');
}

function withItsTriggers(statement: string, only: ProjectDrops | undefined): string {
  const name = /^DROP FUNCTION IF EXISTS (.*)\(\);$/.exec(statement)?.[1] ?? '';
  return only?.withTriggers.has(name) === true ? statement.replace(/;$/, ' CASCADE;') : statement;
}

/** Large objects are no schema to pg_restore; engine copy keeps them in a dump of their own. */
async function readLargeObjectDrops(request: RestoreRequest, tools: ClientTools): Promise<string> {
  if (request.manifest.engine === 'copy') return '';
  const list = await readDumpList(request, tools);
  const ids = list.filter((entry) => /^BLOB(?: METADATA)? /.test(entry.words)).map((entry) => entry.dumpId);
  if (ids.length === 0) return '';
  await using selection = await selectFromDump(ids);
  const args = ['--clean', '--if-exists', '--file=-', ...selection.args];
  const script = text(await printer(request, tools)(args), request.manifest);
  return script
    .split('\n')
    .filter((line) => line.includes('pg_catalog.lo_unlink('))
    .join('\n');
}

/** Runs pg_restore over the schema dump with some arguments; what it prints. */
function printer(request: RestoreRequest, tools: ClientTools): (args: readonly string[]) => Promise<Buffer> {
  return (args) => {
    const input = dumpInput(request);
    return captureTool({
      file: tools.pgRestore,
      args: [
        ...args,
        '--no-tablespaces',
        ...(request.owners ? [] : ['--no-owner']),
        ...(request.privileges ? [] : ['--no-acl']),
        ...input.args,
      ],
      environment: {},
      ...(input.stdin !== undefined && { stdin: input.stdin }),
      maxBytes: MAX_SCRIPT_BYTES,
      signal: request.signal,
    });
  };
}

function text(bytes: Buffer, manifest: Manifest): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new Failure('integrity.format', `the schema of snapshot ${manifest.id} is not UTF-8`, {
      facts: { snapshot: manifest.id, encoding: manifest.server.encoding },
      remedy: 'restore schema.dump by hand with pg_restore, as FORMAT.md says, then run restore --data-only',
      cause,
    });
  }
}
