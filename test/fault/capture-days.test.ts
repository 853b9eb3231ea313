// Bad days of a running capture, on one server: what others do to it, and that it does nothing to them.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture, namesOf } from '../support/capture.ts';
import {
  EXACT,
  LEDGER,
  capture,
  captured,
  catchUp,
  confirmed,
  exactness,
  position,
} from '../support/capturing.ts';
import type { Capturing } from '../support/capturing.ts';
import { newDatabase, rows, session, sql, testServer } from '../support/postgres.ts';
import { storedWords } from '../support/stored-stream.ts';
import { temporaryFolder, tidemark } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

const LONG = 120_000;
const LINE = 'INSERT INTO ledger DEFAULT VALUES';

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(17, { max_replication_slots: '20', max_wal_senders: '20' });
});
afterAll(() => server[Symbol.asyncDispose]());

async function prepared(of = server): Promise<{ url: string; path: string } & AsyncDisposable> {
  const folder = await temporaryFolder();
  const url = await newDatabase(of);
  await sql(url, LEDGER);
  await initCapture(url, folder.path);
  return { url, path: folder.path, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

const kinds = (run: Capturing): unknown[] => run.events.map(({ kind }) => kind);

async function activePid(url: string, path: string): Promise<number | undefined> {
  const { slot } = await namesOf(path);
  const found = await rows<{ pid: number | null }>(
    url,
    `SELECT active_pid AS "pid" FROM pg_replication_slots WHERE slot_name = '${slot}'`,
  );
  return found[0]?.pid ?? undefined;
}

test('timeouts that were set for the role end neither session', { timeout: LONG }, async () => {
  await using at = await prepared();
  await sql(
    at.url,
    `CREATE ROLE hurried LOGIN SUPERUSER PASSWORD 'pass';
     ALTER ROLE hurried SET statement_timeout = '1s'; ALTER ROLE hurried SET idle_session_timeout = '1s';
     ALTER ROLE hurried SET idle_in_transaction_session_timeout = '1s'; ALTER ROLE hurried SET transaction_timeout = '1s';
     ALTER ROLE hurried SET default_transaction_read_only = on`,
  );
  const url = new URL(at.url);
  [url.username, url.password] = ['hurried', 'pass'];
  const run = capture(url.toString(), at.path);
  await run.said('streaming');
  // The second look comes after five seconds of idling.
  await run.said('status', 2);
  await sql(at.url, LINE);
  await until(async () => (await captured({ url: at.path })).ids.length === 1);
  expect((await run.stop()).exitCode).toBe(0);
  expect(kinds(run)).not.toContain('lost');
});

test(
  'I 9: a frozen capture, of which another took over, wakes and does no harm',
  { timeout: LONG },
  async () => {
    await using at = await prepared();
    const first = capture(at.url, at.path, ['--flush', '3s']);
    await first.said('streaming');
    await until(async () => (await captured({ url: at.path })).streams[0]?.transactions.length === 1);
    await sql(at.url, LINE);
    await new Promise((resolve) => setTimeout(resolve, 200));
    first.running.kill('SIGSTOP');
    const second = capture(at.url, at.path);
    await second.said('standby');
    // What wal_sender_timeout does after a minute.
    await sql(at.url, `SELECT pg_terminate_backend(${await activePid(at.url, at.path)})`);
    await second.said('streaming');
    await sql(at.url, LINE);
    await until(async () => (await captured({ url: at.path })).ids.length === 2);
    // It holds the first row, and puts it as soon as it can.
    first.running.kill('SIGCONT');
    await first.said('standby');
    await sql(at.url, LINE);
    await second.stop();
    await first.said('streaming', 2);
    expect((await first.stop()).exitCode).toBe(0);
    await catchUp(at.url, at.path);
    expect(await exactness(at.url, at.path)).toEqual(EXACT);
    expect((await storedWords({ url: at.path })).gaps).toEqual([]);
  },
);

test('P7: a fast shutdown does not wait for a store that does not answer', { timeout: LONG }, async () => {
  await using own = await testServer(17);
  await using at = await prepared(own);
  const run = capture(at.url, at.path, [], { TIDEMARK_FAILPOINTS: 'capture.run-packed=pause' });
  await run.said('streaming');
  await sql(at.url, LINE);
  const committed = await position(at.url);
  await until(async () => {
    const [found] = await rows<{ sent: boolean }>(
      at.url,
      `SELECT bool_or(sent_lsn >= '${committed}') AS "sent" FROM pg_stat_replication`,
    );
    return found?.sent === true;
  });
  const started = performance.now();
  await own.stop('fast');
  // Not by force, which comes after 15 s.
  expect(performance.now() - started).toBeLessThan(15_000);
  await run.stop('SIGKILL');
  expect((await captured({ url: at.path })).ids).toEqual([]);
});

test('P7: somebody’s long transaction holds WAL: named, and the slot stays', { timeout: LONG }, async () => {
  const elsewhere = await newDatabase(server);
  await using at = await prepared();
  await using idle = await session(elsewhere);
  await idle.execute('BEGIN; CREATE TABLE x (id int)');
  const run = capture(at.url, at.path, ['--max-slot-lag', '1MB']);
  await run.said('streaming');
  for (let round = 0; round < 4; round += 1) {
    await sql(at.url, `INSERT INTO ledger (note) SELECT repeat('x', 1000) FROM generate_series(1, 300)`);
    await until(async () => (await captured({ url: at.path })).ids.length === 300 * (round + 1));
  }
  await until(() => run.events.some(({ level }) => level === 'pinned'));
  expect(run.events.find(({ level }) => level === 'pinned')?.['why']).toContain(`pid ${idle.backendPid}`);
  expect((await run.stop()).exitCode).toBe(0);
  expect(kinds(run)).not.toContain('gap');
  expect(await confirmed(at.url, at.path)).toBeDefined();
});

test(
  'a row of more than 1 GB as text: named, by snapshots and by capture, which goes on behind a gap',
  { timeout: LONG },
  async () => {
    await using at = await prepared();
    const run = capture(at.url, at.path);
    await run.said('streaming');
    // Eight times as long as it is large, and full of zeros.
    await sql(
      at.url,
      `CREATE TABLE wide (id int PRIMARY KEY, v bit varying);
     INSERT INTO wide SELECT 1, ${Array(14).fill('v').join(' || ')} FROM (SELECT 0::bit(80000000)::bit varying) AS b(v)`,
    );
    const ended = await run.running;
    expect(ended).toMatchObject({ exitCode: 6 });
    expect(ended.stdout + ended.stderr).toContain('source.row_too_large');
    const taken = await tidemark(['snapshot', '--url', at.url, '--repository', at.path]);
    expect(taken).toMatchObject({
      exitCode: 6,
      stderr: expect.stringMatching(/a row of public\.wide[^]*source\.row_too_large/) as unknown,
    });
    await sql(
      at.url,
      `DELETE FROM wide; SELECT pg_drop_replication_slot('${(await namesOf(at.path)).slot}')`,
    );
    const again = capture(at.url, at.path);
    await again.said('snapshot-wanted');
    await again.said('streaming');
    await sql(at.url, LINE);
    await until(async () => (await captured({ url: at.path })).ids.length === 1);
    expect((await again.stop()).exitCode).toBe(0);
    expect((await storedWords({ url: at.path })).gaps.map(({ reason }) => reason)).toEqual(['slot-dropped']);
  },
);
