import { execa } from 'execa';
import { sha256Hex } from '../../src/archive/digest.ts';
import type { StoredRecord } from '../../src/archive/record.ts';
import { readPart, readSegment, recordsOf } from '../../src/archive/segment-reader.ts';
import { packPart, packRun, packSegment } from '../../src/archive/segment-writer.ts';
import type { PackedPart } from '../../src/archive/segment-writer.ts';
import { parseSegmentName } from '../../src/archive/stream-names.ts';
import { Failure } from '../../src/model/failure.ts';
import { quoteRelation } from '../../src/model/identifiers.ts';
import type { RelationName } from '../../src/model/identifiers.ts';
import { parseLsn } from '../../src/model/lsn.ts';
import type { Lsn } from '../../src/model/lsn.ts';
import { parseSnapshot } from '../../src/model/xid.ts';
import type { ReplayTie } from '../../src/model/xid.ts';
import type { Connection } from '../../src/postgres/connection.ts';
import { parseConnectionUrl } from '../../src/postgres/connection-settings.ts';
import { libpqEnvironment } from '../../src/postgres/libpq-environment.ts';
import { chooseTools } from '../../src/postgres/tools.ts';
import { replay } from '../../src/replay/replay.ts';
import type { ReplayReport, ReplayRequest } from '../../src/replay/request.ts';
import { openReplaySession } from '../../src/replay/session.ts';
import type { StreamEncoding } from '../../src/replay/session.ts';
import { STREAM, inChunks, nameOf, session as capture } from './change-stream.ts';
import { session, tools } from './postgres.ts';
import type { randomness } from './workload.ts';
import { transaction } from './workload.ts';

/** Under which the tests' slot is read, as capture's session would be. */
const TEXT_SETTINGS = {
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '3',
  bytea_output: 'hex',
  lc_monetary: 'C',
} as const;

/** A change stream in memory, as it would be stored. */
export interface StoredStream {
  readonly segments: readonly { readonly name: string; readonly bytes: Buffer }[];
  readonly parts: readonly PackedPart[];
  /** Behind the last commit that it has. */
  readonly end: Lsn;
  readonly messages: number;
}

export async function createSlot(source: Connection): Promise<Lsn> {
  const [slot] = await source.query<{ lsn: string }>(
    "SELECT lsn::text AS lsn FROM pg_create_logical_replication_slot('replayed', 'pgoutput')",
  );
  return lsnOf(slot?.lsn);
}

export function lsnOf(text: string | undefined): Lsn {
  const lsn = parseLsn(text ?? '');
  if (lsn === undefined) throw new Error(`no position: ${text}`);
  return lsn;
}

export async function position(connection: Connection): Promise<Lsn> {
  const [row] = await connection.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return lsnOf(row?.lsn);
}

/** Takes what the slot has and stores it; small runs and parts, so that all seams occur. */
export async function takeStream(
  url: string,
  start: Lsn,
  { memberBytes = 4000, encoding = 'UTF8' }: { memberBytes?: number; encoding?: StreamEncoding } = {},
): Promise<StoredStream> {
  await using source = await session(url);
  for (const [name, value] of Object.entries({ ...TEXT_SETTINGS, client_encoding: encoding }))
    await source.query('SELECT set_config($1, $2, false)', [name, value]);
  const rows = await source.query<{ data: string }>(
    `SELECT encode(data, 'base64') AS "data" FROM pg_logical_slot_get_binary_changes('replayed', NULL, NULL, 'proto_version', '1', 'publication_names', 'p', 'messages', 'true')`,
  );
  return await store(
    rows.map((row) => Buffer.from(row.data, 'base64')),
    start,
    memberBytes,
  );
}

async function store(messages: readonly Buffer[], start: Lsn, memberBytes = 4000): Promise<StoredStream> {
  const { writer, assembler, feed } = capture({ start, memberBytes });
  const segments: { name: string; bytes: Buffer }[] = [];
  const parts: PackedPart[] = [];
  const modified = new Date(0);
  let previous = sha256Hex(Buffer.from('stream.json'));
  let pending: PackedPart[] = [];
  const how = { stream: STREAM, sealer: undefined };
  const take = async (): Promise<void> => {
    const taken = writer.takeRun();
    const run = await packRun(taken, { ...how, previous, heartbeats: [], ddl: 'exact', parts: pending });
    pending = [];
    previous = run.chain;
    segments.push({ name: nameOf([taken]), bytes: await packSegment([run], { modified }) });
  };
  for (const message of messages) {
    feed(message);
    if (writer.wholeBytes > 4 * memberBytes) await take();
    if (writer.openBytes < 16 * memberBytes) continue;
    if (writer.transactions > 0) await take();
    const facts = { ...how, finalLsn: assembler.commitLsn, attempt: 'a1b2c3', number: pending.length + 1 };
    pending.push(await packPart(writer.takePart(), { ...facts, modified }));
    parts.push(pending.at(-1) as PackedPart);
  }
  if (writer.transactions > 0) await take();
  return { segments, parts, end: assembler.endLsn, messages: messages.length };
}

/** What a recovery reads: parts in their run's place. */
async function* recordsIn(stream: StoredStream): AsyncGenerator<Iterable<StoredRecord>> {
  for (const { name, bytes } of stream.segments) {
    const stretch = parseSegmentName(name);
    if (stretch === undefined) throw new Error(`no segment: ${name}`);
    for await (const run of readSegment(inChunks(bytes, 65_536), {
      ...stretch,
      stream: STREAM,
      trust: undefined,
    })) {
      for (const listed of run.facts.parts) {
        const part = stream.parts.find((candidate) => candidate.name === listed.name);
        if (part === undefined) throw new Error(`no part ${listed.name}`);
        const body = inChunks(part.bytes, 65_536);
        for await (const record of readPart(body, listed, { stream: STREAM, opener: undefined }))
          yield [record];
      }
      for await (const member of run.members())
        if (!member.facts.name.startsWith('transactions')) yield await recordsOf(member, undefined);
    }
  }
}

/**
 * Holds a snapshot open, copies it with the stock tools, and says how it ties to the stream. Tables are locked before the
 * snapshot is taken (REPLICATION C4): of one that is truncated in between, the copy would lack rows that it shows. Writers
 * that truncate may get between these locks and pg_dump's, before anything is in the target: then it is taken once more.
 */
export async function copyBase(
  source: string,
  target: string,
  options: { readonly serverMajor: number; readonly scanFrom: Lsn },
): Promise<ReplayTie> {
  for (;;) {
    try {
      return await copyHeld(source, target, options);
    } catch (error) {
      if (!(error instanceof Error && /deadlock detected|(?:lock|statement) timeout/.test(error.message)))
        throw error;
    }
  }
}

async function copyHeld(
  source: string,
  target: string,
  options: { readonly serverMajor: number; readonly scanFrom: Lsn },
): Promise<ReplayTie> {
  await using keeper = await session(source);
  const tables = await keeper.query<RelationName>(
    `SELECT nspname AS "schema", relname AS "name" FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
      WHERE relkind IN ('r', 'p') AND nspname !~ '^(pg_|information_schema)'`,
  );
  await keeper.execute(
    `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE ${tables.map(quoteRelation).join(', ')} IN ACCESS SHARE MODE`,
  );
  const [row] = await keeper.query<{ name: string; snapshot: string; upper: string }>(
    'SELECT pg_export_snapshot() AS "name", pg_current_snapshot()::text AS "snapshot", pg_current_wal_insert_lsn()::text AS "upper"',
  );
  const snapshot = parseSnapshot(row?.snapshot ?? '');
  if (row === undefined || snapshot === undefined) throw new Error('no snapshot');
  const args = [`--snapshot=${row.name}`, '--lock-wait-timeout=300ms'];
  await copyDatabase(source, target, { serverMajor: options.serverMajor, args });
  return { kind: 'xid', snapshot, upper: lsnOf(row.upper), scanFrom: options.scanFrom };
}

export async function copyDatabase(
  source: string,
  target: string,
  options: { readonly serverMajor: number; readonly args?: readonly string[] },
): Promise<void> {
  const { pgDump, psql } = chooseTools(await tools(), options.serverMajor);
  const environment = (url: string) => ({
    env: libpqEnvironment(parseConnectionUrl(url, {}), { job: 'test' }),
    extendEnv: false,
  });
  const { stdout } = await execa(pgDump, ['--no-publications', ...(options.args ?? [])], {
    ...environment(source),
    maxBuffer: 1 << 30,
  });
  // A newer pg_dump's own setting, unknown to older servers.
  const input = stdout.replace(/^SET transaction_timeout = 0;$/m, '');
  await execa(psql, ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', '-'], { ...environment(target), input });
}

type Replayed = Partial<ReplayRequest> & Pick<ReplayRequest, 'tie'> & { readonly encoding?: StreamEncoding };

/** Replays a stream into a target, in one session of its own. */
export async function replayInto(
  target: string,
  stream: StoredStream,
  request: Replayed,
): Promise<ReplayReport> {
  const signal = request.signal ?? new AbortController().signal;
  await using opened = await openReplaySession(parseConnectionUrl(target, {}), {
    settings: TEXT_SETTINGS,
    encoding: request.encoding ?? 'UTF8',
    signal,
  });
  return await replay(opened, {
    id: 'test',
    records: recordsIn(stream),
    stop: { kind: 'latest' },
    reach: { position: stream.end, time: undefined },
    signal,
    ...request,
  });
}

/** Runs one random transaction; what other sessions make fail is rolled back. */
export async function work(connection: Connection, random: ReturnType<typeof randomness>): Promise<void> {
  await runOrRollBack(connection, transaction(random));
}

/** False when another session made it fail: it is rolled back. */
export async function runOrRollBack(connection: Connection, statements: readonly string[]): Promise<boolean> {
  for (const statement of statements) {
    try {
      await connection.execute(statement);
    } catch (error) {
      if (!(error instanceof Failure) || error.facts['sqlstate'] === undefined) throw error;
      if (/^(42|22|0A)/.test(String(error.facts['sqlstate']))) throw error;
      await connection.execute('ROLLBACK');
      return false;
    }
  }
  return true;
}
