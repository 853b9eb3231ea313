import { libpqEnvironment } from '../postgres/libpq-environment.ts';
import { chooseTools } from '../postgres/tools.ts';
import type { ClientTools } from '../postgres/tools.ts';
import { runTool } from '../runtime/subprocess.ts';
import { isCaptureObject } from './capture-objects.ts';
import { selectAll, selectFromDump } from './dump-selection.ts';
import type { DumpSelection } from './dump-selection.ts';
import type { RestorePlan } from './plan.ts';
import { readDumpList } from './read-schema.ts';
import type { RestoreRequest } from './request.ts';
import type { ListedEntry } from './schema-script.ts';
import { dumpInput } from './staged-dump.ts';

/** The first major that knows transaction_timeout, which pg_restore of that major and later sets. */
const KNOWS_TRANSACTION_TIMEOUT = 17;

interface DumpWork {
  readonly plan: RestorePlan;
  readonly targetMajor: number;
}

/**
 * Whether several connections restore, which commit as they go. Otherwise one does in one transaction, so that a
 * restore that fails or is killed leaves the target as it was.
 */
export function isParallel(request: RestoreRequest, targetMajor: number): boolean {
  return request.stagedDump !== undefined && isDirect(toolsFor(request), targetMajor);
}

/**
 * Restores a snapshot of engine pg_dump by pg_restore, which stops at the first error: with `--jobs` connections from
 * a staged dump, else in one transaction. A pg_restore that is newer than an older target prints for psql
 * instead, as it would fail over a setting that the target does not know (TESTBED, "pg_dump and pg_restore across
 * majors"); large objects then commit on their own.
 */
export async function restoreDump(request: RestoreRequest, work: DumpWork): Promise<void> {
  const tools = toolsFor(request);
  await using selection = await selectionOf(request, { tools, plan: work.plan });
  const database = `--dbname=${request.target.database}`;
  const run = (args: readonly string[]): AsyncIterable<Buffer> =>
    pgRestore(request, tools, [...args, ...selection.args]);
  const output = isParallel(request, work.targetMajor)
    ? run([`--jobs=${request.jobs}`, '--exit-on-error', database])
    : isDirect(tools, work.targetMajor)
      ? run(['--single-transaction', database])
      : byPsql(request, tools, run(['--file=-']));
  for await (const chunk of output) void chunk;
}

export function toolsFor(request: RestoreRequest): ClientTools {
  return chooseTools(request.tools, Math.trunc(request.manifest.server.version / 10_000));
}

function isDirect(tools: ClientTools, targetMajor: number): boolean {
  return tools.major < KNOWS_TRANSACTION_TIMEOUT || targetMajor >= KNOWS_TRANSACTION_TIMEOUT;
}

/** What of the dump is wanted: the plan's definitions, and the data that belongs to them. */
async function selectionOf(
  request: RestoreRequest,
  work: { readonly tools: ClientTools; readonly plan: RestorePlan },
): Promise<DumpSelection> {
  const { scope } = request;
  const list = await readDumpList(request, work.tools);
  if (scope.tables.length + scope.schemas.length > 0) return selectFromDump(selectDumpIds(list, work.plan));
  const wanted = list.filter((entry) => !isCaptureObject(entry));
  return wanted.length === list.length ? selectAll() : selectFromDump(wanted.map((entry) => entry.dumpId));
}

/** Positions of sequences are not among it: their lines name no object by its oid, so they are set by us. */
const DATA = /^(?:TABLE DATA|MATERIALIZED VIEW DATA) /;

/** Pure. In the dump's own order, which a stream must be read in. */
export function selectDumpIds(
  list: readonly ListedEntry[],
  plan: Pick<RestorePlan, 'preData' | 'postData' | 'tables' | 'materializedViews'>,
): number[] {
  const definitions = new Set([...plan.preData, ...plan.postData].map((entry) => entry.dumpId));
  const withData = new Set([...plan.tables, ...plan.materializedViews].map(({ oid }) => String(oid)));
  return list
    .filter((entry) => definitions.has(entry.dumpId) || (DATA.test(entry.words) && withData.has(entry.oid)))
    .map((entry) => entry.dumpId);
}

/** pg_restore of a dump, to the target or printing. */
export function pgRestore(
  request: RestoreRequest,
  tools: ClientTools,
  args: readonly string[],
): AsyncIterable<Buffer> {
  const { scope, signal } = request;
  const section = { all: [], 'schema-only': ['--schema-only'], 'data-only': ['--data-only'] }[scope.part];
  const input = dumpInput(request);
  return runTool({
    file: tools.pgRestore,
    args: [
      '--no-password',
      ...args,
      ...section,
      ...(request.owners ? [] : ['--no-owner']),
      ...(request.privileges ? [] : ['--no-acl']),
      ...input.args,
    ],
    environment: libpqEnvironment(request.target, { job: 'restore' }),
    ...(input.stdin !== undefined && { stdin: input.stdin }),
    signal,
  });
}

/** Runs what pg_restore prints in one transaction. */
export function byPsql(
  request: RestoreRequest,
  tools: ClientTools,
  script: AsyncIterable<Buffer>,
): AsyncIterable<Buffer> {
  return runTool({
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
    stdin: withoutTransactionTimeout(script),
    signal: request.signal,
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
