import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StoredRecord } from '../../src/archive/record.ts';
import { Failure } from '../../src/model/failure.ts';
import { asLsn } from '../../src/model/lsn.ts';
import type { Lsn } from '../../src/model/lsn.ts';
import type { ReplayTie } from '../../src/model/xid.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { pgoutput } from '../support/pgoutput-messages.ts';
import { newDatabase, rows, session, sql, stockDump, testServer } from '../support/postgres.ts';
import { copyDatabase, createSlot, replayInto, takeStream, work } from '../support/replay.ts';
import type { StoredStream } from '../support/replay.ts';
import { SCHEMA, randomness } from '../support/workload.ts';

let server: ThrowawayServer;
let source: string;
let start: Lsn;
let stream: StoredStream;
let expected: string;

beforeAll(async () => {
  server = await testServer(18);
  source = await newDatabase(server);
  await sql(source, `${SCHEMA} CREATE PUBLICATION p FOR ALL TABLES`);
  await using connection = await session(source);
  start = await createSlot(connection);
  const random = randomness(46);
  for (let count = 0; count < 300; count += 1) await work(connection, random);
  // Larger than the transactions of the target, so that it is in several of them.
  await connection.execute(
    "BEGIN; DELETE FROM bulk; INSERT INTO bulk SELECT n, 'x' FROM generate_series(1, 6000) n; UPDATE bulk SET v = id::text; UPDATE plain SET v = 'all'; DELETE FROM bulk WHERE id > 5000; COMMIT",
  );
  stream = await takeStream(source, start);
  expected = await rowsOf(source);
}, 120_000);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const rowsOf = async (url: string): Promise<string> =>
  (await stockDump(url, 18, ['--data-only', '--exclude-schema=tidemark_restore'])).replaceAll(
    /^SELECT pg_catalog\.setval.*$/gm,
    '',
  );

async function emptyTarget(): Promise<string> {
  const target = await newDatabase(server);
  await copyDatabase(source, target, { serverMajor: 18, args: ['--schema-only'] });
  return target;
}

const limits = { changes: 700, bytes: 200_000 };

const TERMINATE =
  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemark replay'";

test('I 46: a replay that is killed anywhere, over and over, goes on just where it stopped', async () => {
  const target = await emptyTarget();
  const tie: ReplayTie = { kind: 'position', lsn: start };
  const random = randomness(1);
  await using killer = await session(server.url());
  let isKilling = false;
  const terminate = (): void => {
    if (isKilling) return;
    isKilling = true;
    void killer.query(TERMINATE).then(() => (isKilling = false));
  };
  let kills = 0;
  // Every other kill may come before anything is done, as in a crash loop; the rest come after a few commits of the
  // target, whatever the machine's speed, so that the end is reached.
  for (let attempt = 0, isDone = false; !isDone; attempt += 1) {
    const abort = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    // By the client, which leaves the server at work, or by the server.
    const kill = random.int(2) === 0 ? () => abort.abort() : terminate;
    const killSoon = (): void => {
      // Again and again: the first may come before there is anybody to kill.
      timer ??= setInterval(kill, 1 + random.int(60));
    };
    let commits = random.int(6);
    const onProgress = (): void => {
      commits -= 1;
      if (commits <= 0) killSoon();
    };
    if (attempt % 2 === 0) killSoon();
    try {
      await replayInto(target, stream, { tie, limits, signal: abort.signal, onProgress });
      isDone = true;
    } catch (error) {
      // A session that is killed while it opens was never there to lose.
      const codes = ['interrupted', 'target.lost', 'target.unreachable'];
      if (!(error instanceof Failure) || !codes.includes(error.code)) throw error;
      kills += 1;
    } finally {
      clearInterval(timer);
    }
  }
  expect(kills).toBeGreaterThan(15);
  expect(await rowsOf(target)).toBe(expected);
  const again = await replayInto(target, stream, { tie, limits });
  expect(again).toMatchObject({ continued: true, changes: 0 });
  expect(await rowsOf(target)).toBe(expected);
});

test('I 46: a kill after any transaction on the target', async () => {
  const target = await emptyTarget();
  const tie: ReplayTie = { kind: 'position', lsn: start };
  let runs = 0;
  for (let isDone = false; !isDone; runs += 1) {
    const abort = new AbortController();
    const kill = { signal: abort.signal, onProgress: () => abort.abort() };
    isDone = await replayInto(target, stream, {
      tie,
      limits: { changes: 2500, bytes: 1_000_000 },
      ...kill,
    }).then(
      () => true,
      (error: unknown) => {
        if (!(error instanceof Failure) || error.code !== 'interrupted') throw error;
        return false;
      },
    );
  }
  expect(runs).toBeGreaterThan(8);
  expect(await rowsOf(target)).toBe(expected);
});

test('two replays at once: the second waits for the first, and finds its work done', async () => {
  const target = await emptyTarget();
  const tie: ReplayTie = { kind: 'position', lsn: start };
  const reports = await Promise.all([
    replayInto(target, stream, { tie, limits }),
    replayInto(target, stream, { tie, limits }),
  ]);
  expect(reports.filter((report) => report.continued)).toHaveLength(1);
  expect(reports.filter((report) => report.changes === 0)).toHaveLength(1);
  expect(await rowsOf(target)).toBe(expected);
});

test('P10: a transaction of 300 000 rows is replayed in the memory of a small one', async () => {
  const target = await newDatabase(server);
  await sql(target, 'CREATE TABLE t (id int PRIMARY KEY, v text)');
  const total = 300_000;
  const value = Buffer.alloc(500, 'x');
  const least = liveBytes();
  let most = 0;
  const records = async function* (): AsyncGenerator<Iterable<StoredRecord>> {
    const columns = [
      { name: 'id', key: true, type: 23 },
      { name: 'v', key: false, type: 25 },
    ];
    yield asRecords([pgoutput.begin(1000n, 5n, 7), pgoutput.relation(1, 'public', 't', columns)]);
    for (let n = 0; n < total; n += 5000) {
      const ids = Array.from({ length: 5000 }, (_, at) => n + at);
      yield asRecords(ids.map((id) => pgoutput.insert(1, [Buffer.from(String(id)), value])));
      most = Math.max(most, liveBytes());
    }
    yield asRecords([pgoutput.commit(1000n, 1008n, 5n)]);
  };
  const reach = { position: asLsn(1008n), time: undefined };
  const tie: ReplayTie = { kind: 'position', lsn: asLsn(0n) };
  await replayInto(target, stream, { tie, records: records(), reach });
  expect((await rows<{ n: string }>(target, 'SELECT count(*)::text AS n FROM t'))[0]?.n).toBe(String(total));
  expect(most - least).toBeGreaterThan(2_000_000);
  // The rows are 150 MB; 16 MiB of them may wait, beside what they are written from.
  expect(most - least).toBeLessThan(60_000_000);
});

/** One member: its messages are views of its memory. */
function asRecords(messages: readonly Buffer[]): StoredRecord[] {
  const member = Buffer.concat(messages);
  let at = 0;
  return messages.map(({ length }) => ({ inForce: false, message: member.subarray(at, (at += length)) }));
}

/** Without what only waits to be collected. */
function liveBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
