// What the publications carry when tables come, go and are changed: what they would not carry is a gap, or never so.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture, namesOf } from '../support/capture.ts';
import { LEDGER, capture, captured, catchUp, position } from '../support/capturing.ts';
import { absentDatabase, newDatabase, sql, stockDump, testServer } from '../support/postgres.ts';
import { storedWords } from '../support/stored-stream.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

const DATA = ['--data-only', '--exclude-schema=tidemark'];

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(17, { max_replication_slots: '20', max_wal_senders: '20' });
  await sql(server.url(), `CREATE ROLE plain LOGIN REPLICATION PASSWORD 'secret'`);
});
afterAll(() => server[Symbol.asyncDispose]());

interface Source extends AsyncDisposable {
  readonly url: string;
  /** As the role that captures. */
  readonly near: string;
  readonly path: string;
}

/** A source with a stream, and a snapshot that it continues. */
async function prepared(schema: string, role: 'postgres' | 'plain' = 'postgres'): Promise<Source> {
  const folder = await temporaryFolder();
  const { path } = folder;
  const url = await newDatabase(server);
  await sql(url, `${LEDGER}; ${schema}`);
  const near = role === 'postgres' ? url : url.replace(/\/\/postgres:[^@]*@/, '//plain:secret@');
  if (role === 'plain')
    await sql(
      url,
      `GRANT CREATE ON DATABASE ${new URL(url).pathname.slice(1)} TO plain; GRANT CREATE ON SCHEMA public TO plain; ALTER TABLE ledger OWNER TO plain`,
    );
  await initCapture(near, path);
  const run = capture(near, path);
  await until(async () => (await captured({ url: path })).streams[0]?.transactions.length === 1);
  await tidemarkJson(['snapshot', '--url', url, '--repository', path]);
  expect((await run.stop()).exitCode).toBe(0);
  return { url, near, path, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

/** What a restore to the newest point says: that it is what the source holds now, or by what it was refused. */
async function newest({ url, near, path }: Source): Promise<string> {
  await catchUp(near, path);
  const to = ['--to', `lsn:${await position(url)}`, '--exclusive'];
  const target = absentDatabase(server);
  const at = ['--repository', path, '--target', target, '--create', '--json', '--no-owner'];
  const ran = await tidemark(['restore', ...to, ...at]);
  if (ran.exitCode !== 0 && ran.exitCode !== 3)
    return (JSON.parse(ran.stdout) as { error: { code: string } }).error.code;
  return (await stockDump(target, 17, DATA)) === (await stockDump(url, 17, DATA)) ? 'equal' : 'another';
}

const MADE = 'CREATE TABLE made AS SELECT n AS id FROM generate_series(1, 3) n';

test('I 24, I 25: all tables are published, by their leaves: TRUNCATE of a partition, and rows of CREATE TABLE AS', async () => {
  await using source = await prepared(
    `CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
     CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20); INSERT INTO parted VALUES (1), (11)`,
  );
  await sql(
    source.url,
    'INSERT INTO parted VALUES (2), (12); TRUNCATE parted_1; INSERT INTO parted VALUES (3)',
  );
  expect(await newest(source)).toBe('equal');
  await sql(source.url, `${MADE}; INSERT INTO made VALUES (4)`);
  await catchUp(source.near, source.path);
  const { streams } = await captured({ url: source.path });
  const made = streams.flatMap(({ transactions }) =>
    transactions.flatMap(({ inserted }) => inserted['public.made'] ?? []),
  );
  expect(made).toEqual(['1', '2', '3', '4']);
});

test('I 24: where tables are published one by one, no restore brings a part of one', async () => {
  await using source = await prepared('SELECT 1', 'plain');
  await sql(source.near, MADE);
  await catchUp(source.near, source.path);
  await initCapture(source.near, source.path);
  await sql(source.near, 'INSERT INTO made VALUES (4); INSERT INTO ledger DEFAULT VALUES');
  expect(await newest(source)).toMatch(/^(equal|target\.drift|recovery\..*)$/);
});

test('I 22: a row filter, then a column list, that somebody gave to a table are gaps, and are put right', async () => {
  await using source = await prepared('INSERT INTO ledger DEFAULT VALUES');
  const { changes } = await namesOf(source.path);
  await sql(
    source.url,
    `ALTER PUBLICATION ${changes} SET TABLE ledger WHERE (id < 0); UPDATE ledger SET note = 'changed'`,
  );
  expect(await newest(source)).toBe('recovery.no_point');
  await sql(source.url, `ALTER PUBLICATION ${changes} SET TABLE ledger (id)`);
  await catchUp(source.near, source.path);
  await tidemarkJson(['snapshot', '--url', source.url, '--repository', source.path]);
  await sql(source.url, `UPDATE ledger SET note = 'changed again'`);
  expect(await newest(source)).toBe('equal');
  const { gaps } = await storedWords({ url: source.path });
  expect(gaps.map(({ reason }) => reason)).toEqual(['publication-changed', 'publication-changed']);
});
