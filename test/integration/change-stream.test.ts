import { expect, test } from 'vitest';
import type { Connection } from '../../src/postgres/connection.ts';
import { createOpener, createSealer, generateIdentity } from '../../src/archive/age.ts';
import { sha256Hex } from '../../src/archive/digest.ts';
import { readSegment, transactionsOf } from '../../src/archive/segment-reader.ts';
import { packPart, packRun, packSegment } from '../../src/archive/segment-writer.ts';
import type { PackedPart } from '../../src/archive/segment-writer.ts';
import { parseSegmentName } from '../../src/archive/stream-names.ts';
import type { TransactionEntry } from '../../src/archive/transaction-columns.ts';
import { parseLsn } from '../../src/model/lsn.ts';
import type { Lsn } from '../../src/model/lsn.ts';
import { applies, parseSnapshot, widenXid } from '../../src/model/xid.ts';
import { decodeMessage } from '../../src/pgoutput/decode.ts';
import type { Message } from '../../src/pgoutput/decode.ts';
import { STREAM, inChunks, messagesOf, nameOf, session as capture } from '../support/change-stream.ts';
import { newDatabase, session, testServer } from '../support/postgres.ts';

/** Everything that pgoutput carries, at least once (REPLICATION E, G). */
const SETUP = `
CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE TABLE kinds (id bigint PRIMARY KEY, f float8, n numeric, at timestamptz, b bytea, j json, m mood, e email, a int[], g int GENERATED ALWAYS AS (1) STORED);
CREATE TABLE toasted (id int PRIMARY KEY, small int, big text); ALTER TABLE toasted ALTER big SET STORAGE EXTERNAL;
CREATE TABLE whole (id int, v text); ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (100) TO (200);
CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent);
CREATE TABLE "odd ""name" ("a b" int PRIMARY KEY, "ü" text);
CREATE TABLE nothing (); CREATE TABLE unpublished (id int);
CREATE PUBLICATION p FOR TABLE kinds, toasted, whole, parted, parent, child, "odd ""name", nothing;
`;
const WORK = [
  `INSERT INTO kinds VALUES (9223372036854775807, 1e-300, 1e-200, '2026-11-23 10:01:59.123456+00', '\\x00ff', '{"n": 12345678901234567890}', 'ok', 'a@b', '{1,NULL}')`,
  "INSERT INTO kinds (id, at, n) VALUES (-1, 'infinity', 'NaN')",
  "INSERT INTO toasted VALUES (1, 1, repeat('x', 20000)), (2, 2, '')",
  'UPDATE toasted SET small = 9 WHERE id = 1',
  'UPDATE toasted SET id = 3 WHERE id = 1',
  "INSERT INTO whole VALUES (1, 'a'), (1, NULL)",
  "UPDATE whole SET v = 'b' WHERE v = 'a'; DELETE FROM whole WHERE v IS NULL",
  "INSERT INTO parted VALUES (1, 'low'), (150, 'high'); UPDATE parted SET id = 120 WHERE id = 1; DELETE FROM parted WHERE id = 150",
  'INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1)',
  'TRUNCATE parent RESTART IDENTITY CASCADE',
  `INSERT INTO "odd ""name" VALUES (1, 'é'); DELETE FROM "odd ""name"`,
  'BEGIN; SAVEPOINT s; INSERT INTO parent VALUES (2); ROLLBACK TO s; INSERT INTO parent VALUES (3); RELEASE s; COMMIT',
  "BEGIN; INSERT INTO parent VALUES (4); PREPARE TRANSACTION 'two'",
  "COMMIT PREPARED 'two'",
  "BEGIN; INSERT INTO parent VALUES (99); PREPARE TRANSACTION 'never'",
  "ROLLBACK PREPARED 'never'",
  "SELECT pg_logical_emit_message(true, 'tidemark:mark', 'a mark')",
  "SELECT pg_logical_emit_message(false, 'stray', 'of no transaction')",
  "BEGIN; SELECT pg_logical_emit_message(false, 'stray', 'rolled back'); ROLLBACK",
  'INSERT INTO unpublished VALUES (1)',
  "ALTER TABLE parent ADD v text; INSERT INTO parent VALUES (5, 'later')",
  // A type's new name alone sends no relation again (14, 16, 18): it is told with the next change of the table.
  "ALTER TYPE mood RENAME TO temper; INSERT INTO kinds (id, m) VALUES (6, 'sad')",
  "ALTER TABLE kinds ADD later int; INSERT INTO kinds (id, m) VALUES (7, 'sad')",
  'INSERT INTO nothing DEFAULT VALUES',
  'INSERT INTO toasted SELECT n, n, repeat(md5(n::text), 40) FROM generate_series(1000, 1600) n',
];

async function messagesFrom(source: Connection): Promise<Buffer[]> {
  const rows = await source.query<{ data: string }>(
    `SELECT encode(data, 'hex') AS "data" FROM pg_logical_slot_peek_binary_changes('s', NULL, NULL, 'proto_version', '1', 'publication_names', 'p', 'messages', 'true')`,
  );
  return rows.map((row) => Buffer.from(row.data, 'hex'));
}

/** Stored in small runs and members, so that a transaction of 600 rows needs parts. */
async function store(messages: readonly Buffer[], start: Lsn, sealer: ReturnType<typeof createSealer>) {
  const { writer, assembler, feed } = capture({ start, memberBytes: 2000, sealer });
  const segments: { name: string; bytes: Buffer }[] = [];
  const parts: PackedPart[] = [];
  const modified = new Date(0);
  let previous = sha256Hex(Buffer.from('stream.json'));
  let pending: PackedPart[] = [];
  const how = { stream: STREAM, sealer };
  const take = async (): Promise<void> => {
    const taken = writer.takeRun();
    const run = await packRun(taken, { ...how, previous, heartbeats: [], ddl: 'exact', parts: pending });
    pending = [];
    previous = run.chain;
    segments.push({ name: nameOf([taken]), bytes: await packSegment([run], { modified }) });
  };
  for (const message of messages) {
    feed(message);
    if (writer.wholeBytes > 1000) await take();
    if (writer.openBytes < 10_000) continue;
    if (writer.transactions > 0) await take();
    const facts = { ...how, finalLsn: assembler.commitLsn, attempt: 'a1b2c3', number: pending.length + 1 };
    pending.push(await packPart(writer.takePart(), { ...facts, modified }));
    parts.push(pending.at(-1) as PackedPart);
  }
  if (writer.transactions > 0) await take();
  return { segments, parts };
}

/** Without what is not stored: stray messages, and pairs without contents. */
function kept(messages: readonly Buffer[]): Buffer[] {
  return messages.filter((message, index) => {
    const tag = message[0];
    if (tag === 0x4d && message[1] === 0) return false;
    const isEmpty = (begin: number): boolean =>
      messages[begin]?.[0] === 0x42 && messages[begin + 1]?.[0] === 0x43;
    return !isEmpty(index) && !isEmpty(index - 1);
  });
}

const described = (messages: readonly Message[], name: string): number =>
  messages.flatMap((message) =>
    message.kind === 'relation' && message.name === name ? [message.oid] : [],
  )[0] ?? 0;

function checkContents(messages: readonly Message[]): void {
  const kinds = new Set(messages.map(({ kind }) => kind));
  for (const kind of [
    'begin',
    'commit',
    'relation',
    'type',
    'insert',
    'update',
    'delete',
    'truncate',
    'message',
  ])
    expect(kinds).toContain(kind);
  const toasted = described(messages, 'toasted');
  const updates = messages.flatMap((message) => (message.kind === 'update' ? [message] : []));
  const [unchanged, moved] = updates.filter(({ relation }) => relation === toasted);
  expect([0, 1, 2].map((column) => unchanged?.row.kind(column))).toEqual(['t', 't', 'u']);
  expect(unchanged?.row.value(2)).toBeUndefined();
  expect(moved?.old?.kind).toBe('key');
  expect(moved?.old?.tuple.value(0)?.toString()).toBe('1');
  expect(moved?.row.value(0)?.toString()).toBe('3');
  const whole = updates.find(({ relation }) => relation === described(messages, 'whole'));
  expect(whole?.old?.kind).toBe('whole');
  expect(whole?.old?.tuple.value(1)?.toString()).toBe('a');
  expect(messages.find(({ kind }) => kind === 'truncate')).toMatchObject({
    relations: [described(messages, 'parent'), described(messages, 'child')],
    cascade: true,
    restartIdentity: true,
  });
  const [first] = messages.flatMap((message) => (message.kind === 'insert' ? [message.row] : []));
  expect(Array.from({ length: 9 }, (_, column) => first?.value(column)?.toString())).toEqual([
    '9223372036854775807',
    '1e-300',
    `0.${'0'.repeat(199)}1`,
    expect.stringContaining('59.123456'),
    '\\x00ff',
    '{"n": 12345678901234567890}',
    'ok',
    'a@b',
    '{1,NULL}',
  ]);
  expect(messages.find(({ kind }) => kind === 'message')).toMatchObject({ prefix: 'tidemark:mark' });
  expect(described(messages, 'odd "name')).toBeGreaterThan(0);
  expect(messages.some((message) => message.kind === 'relation' && message.name === 'parted')).toBe(false);
  expect(messages.flatMap((message) => (message.kind === 'type' ? [message.name] : []))).toContain('temper');
}

async function transactionsIn(
  segments: readonly { name: string; bytes: Buffer }[],
  opener: ReturnType<typeof createOpener>,
): Promise<TransactionEntry[]> {
  const found: TransactionEntry[] = [];
  for (const { name, bytes } of segments) {
    const stretch = parseSegmentName(name);
    if (stretch === undefined) throw new Error(`no segment: ${name}`);
    for await (const run of readSegment(inChunks(bytes), { ...stretch, stream: STREAM, trust: undefined }))
      for await (const member of run.members())
        found.push(...((await transactionsOf(member, run.facts, opener)) ?? []));
  }
  return found;
}

test.for([14, 16, 18] as const)(
  'PostgreSQL %i: what the server sends is decoded, stored, and read back byte for byte',
  async (major) => {
    await using server = await testServer(major, { max_prepared_transactions: '5' });
    const url = await newDatabase(server);
    await using source = await session(url);
    await source.execute(SETUP);
    const [slot] = await source.query<{ lsn: string }>(
      "SELECT lsn::text FROM pg_create_logical_replication_slot('s', 'pgoutput')",
    );
    const start = parseLsn(slot?.lsn ?? '');
    if (start === undefined) throw new Error('no consistent point');
    for (const statement of WORK) await source.execute(statement);

    const messages = await messagesFrom(source);
    checkContents(messages.map((message) => decodeMessage(message, 'source')));
    const { identity, recipient } = await generateIdentity();
    const opener = createOpener([identity]);
    const { segments, parts } = await store(messages, start, createSealer([recipient]));
    expect(parts.length).toBeGreaterThan(1);
    expect(segments.length).toBeGreaterThan(3);
    const read: Buffer[] = [];
    for (const { name, bytes } of segments) read.push(...(await messagesOf(bytes, name, { opener, parts })));
    expect(read.length).toBe(kept(messages).length);
    expect(Buffer.concat(read).equals(Buffer.concat(kept(messages)))).toBe(true);
    // Empty pairs are 14's alone.
    expect(messages.length - read.length).toBeGreaterThan(major === 14 ? 2 : 1);

    const transactions = await transactionsIn(segments, opener);
    const begins = read.flatMap((message) => {
      const decoded = decodeMessage(message, 'storage');
      return decoded.kind === 'begin' ? [decoded] : [];
    });
    expect(transactions.map(({ xid, commitLsn, commitTime }) => ({ xid, commitLsn, commitTime }))).toEqual(
      begins.map(({ xid, commitLsn, commitTime }) => ({ xid, commitLsn, commitTime })),
    );
    await source.execute("SELECT pg_drop_replication_slot('s')");
  },
);

test('C3: the server agrees which transactions a snapshot holds', async () => {
  await using server = await testServer(18, { max_prepared_transactions: '5' });
  const url = await newDatabase(server);
  await using source = await session(url);
  await using other = await session(url);
  const xids: string[] = [];
  const begin = async (connection: Connection): Promise<void> => {
    await connection.execute('BEGIN');
    const [row] = await connection.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS "xid"');
    xids.push(row?.xid ?? '');
  };
  await begin(other);
  for (let index = 0; index < 5; index += 1) {
    await begin(source);
    await source.execute(index === 2 ? "PREPARE TRANSACTION 'open'" : 'COMMIT');
  }
  const [now] = await source.query<{ snapshot: string }>('SELECT pg_current_snapshot()::text AS "snapshot"');
  const snapshot = parseSnapshot(now?.snapshot ?? '');
  if (snapshot === undefined) throw new Error(`not read: ${now?.snapshot}`);
  await other.execute('COMMIT');
  await begin(source);
  await source.execute('COMMIT');
  const tie = {
    kind: 'xid',
    snapshot,
    scanFrom: parseLsn('0/0') as Lsn,
    upper: parseLsn('FF/0') as Lsn,
  } as const;
  const ours = xids.map((xid) => {
    expect(widenXid(Number(BigInt(xid) & 0xffff_ffffn), snapshot.xmax)).toBe(BigInt(xid));
    return !applies({ xid: Number(BigInt(xid) & 0xffff_ffffn), commitLsn: parseLsn('1/0') as Lsn }, tie);
  });
  const theirs = await source.query<{ visible: boolean }>(
    'SELECT pg_visible_in_snapshot(xid::xid8, $1::pg_snapshot) AS "visible" FROM unnest($2::text[]) WITH ORDINALITY AS x(xid, n) ORDER BY n',
    [now?.snapshot, xids],
  );
  expect(ours).toEqual(theirs.map(({ visible }) => visible));
  expect(ours).toEqual([false, true, true, false, true, true, false]);
  await source.execute("ROLLBACK PREPARED 'open'");
});
