import { expect, test } from 'vitest';
import type { Lsn } from '../../src/model/lsn.ts';
import { newDatabase, session, sql, stockDump, testServer } from '../support/postgres.ts';
import {
  copyBase,
  copyDatabase,
  createSlot,
  position,
  replayInto,
  runOrRollBack,
  takeStream,
  work,
} from '../support/replay.ts';
import { SCHEMA, randomness, transaction } from '../support/workload.ts';

const DATA = [
  '--data-only',
  '--no-publications',
  '--exclude-schema=tidemark_restore',
  '--exclude-table-data=*_seq',
];

async function source(server: Awaited<ReturnType<typeof testServer>>): Promise<{ url: string; start: Lsn }> {
  const url = await newDatabase(server);
  await sql(url, `${SCHEMA} CREATE PUBLICATION p FOR ALL TABLES`);
  // Updates of tables without identity would fail, so none is made; FOR ALL TABLES sends their inserts.
  await using connection = await session(url);
  return { url, start: await createSlot(connection) };
}

/** A session at work; some more transactions after it was told to stop. */
function writer(url: string, random: ReturnType<typeof randomness>): { readonly stop: () => Promise<void> } {
  const asked = new AbortController();
  const running = (async () => {
    await using connection = await session(url);
    while (!asked.signal.aborted) await work(connection, random);
    for (let count = 0; count < 60; count += 1) await work(connection, random);
  })();
  return {
    stop: async () => {
      asked.abort();
      await running;
    },
  };
}

/** Rows alone: sequences are not a replay's. */
const rowsOf = async (url: string, major: number): Promise<string> =>
  (await stockDump(url, major, DATA)).replaceAll(/^SELECT pg_catalog\.setval.*$/gm, '');

test.for([14, 15, 18] as const)(
  'P3, P5: PostgreSQL %i: a random workload, copied under load and replayed, equals the source',
  async (major) => {
    await using server = await testServer(major);
    const { url, start } = await source(server);
    const target = await newDatabase(server);
    const writers = [1, 2, 3].map((seed) => writer(url, randomness(major * 1000 + seed)));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const tie = await copyBase(url, target, { serverMajor: major, scanFrom: start });
    await Promise.all(writers.map((running) => running.stop()));
    const stream = await takeStream(url, start);
    const report = await replayInto(target, stream, { tie });
    expect(stream.parts.length).toBeGreaterThan(0);
    expect(report.changes).toBeGreaterThan(500);
    expect(await rowsOf(target, major)).toBe(await rowsOf(url, major));
  },
);

test('P5: at each commit of a short run, the target is what the source was', async () => {
  await using server = await testServer(16);
  const { url, start } = await source(server);
  const target = await newDatabase(server);
  await copyDatabase(url, target, { serverMajor: 16 });
  const points: { lsn: Lsn; rows: string }[] = [];
  const random = randomness(7);
  await using connection = await session(url);
  for (let count = 0; count < 25; count += 1) {
    for (let times = 0; times < 4; times += 1) await work(connection, random);
    points.push({ lsn: await position(connection), rows: await rowsOf(url, 16) });
  }
  const stream = await takeStream(url, start);
  for (const { lsn, rows } of points) {
    await replayInto(target, stream, {
      tie: { kind: 'position', lsn: start },
      stop: { kind: 'lsn', lsn, exclusive: true },
      reach: { position: lsn, time: undefined },
    });
    expect(await rowsOf(target, 16)).toBe(rows);
  }
});

test('net effect: changes folded in one go, and made one by one, end alike, and as the source', async () => {
  await using server = await testServer(17);
  const { url, start } = await source(server);
  const [folded, single] = [await newDatabase(server), await newDatabase(server)];
  for (const target of [folded, single]) await copyDatabase(url, target, { serverMajor: 17 });
  const random = randomness(11);
  await using connection = await session(url);
  for (let count = 0; count < 250; count += 1) {
    const statements = transaction(random);
    // Thousands of rows at once change one another little, and take long one by one.
    if (statements.every((statement) => !statement.includes('bulk')))
      await runOrRollBack(connection, statements);
  }
  const stream = await takeStream(url, start);
  const tie = { kind: 'position', lsn: start } as const;
  await replayInto(folded, stream, { tie });
  // A transaction for each change: none passes another, none is folded.
  const report = await replayInto(single, stream, { tie, limits: { changes: 1 } });
  expect(report.changes).toBeGreaterThan(300);
  const wanted = await rowsOf(url, 17);
  expect(await rowsOf(folded, 17)).toBe(wanted);
  expect(await rowsOf(single, 17)).toBe(wanted);
});
