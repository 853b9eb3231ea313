// Commit times that go back, as they do when a server's clock is set back. A replication origin says them as it likes.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture } from '../support/capture.ts';
import { LEDGER, capture, captured, catchUp } from '../support/capturing.ts';
import { absentDatabase, newDatabase, rows, session, sql, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(16);
});
afterAll(() => server[Symbol.asyncDispose]());

test('P5, I 40: a time is the place before the first commit that is later, though the clock went back behind it', async () => {
  await using folder = await temporaryFolder();
  const url = await newDatabase(server);
  await sql(url, LEDGER);
  await initCapture(url, folder.path);
  const run = capture(url, folder.path);
  await until(async () => (await captured({ url: folder.path })).streams[0]?.transactions.length === 1);
  await tidemarkJson(['snapshot', '--url', url, '--repository', folder.path]);
  await run.stop();
  const [{ now } = { now: '' }] = await rows<{ now: string }>(
    url,
    `SELECT to_char(date_trunc('second', now() AT TIME ZONE 'UTC') + interval '1 day', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "now"`,
  );
  const at = (seconds: number): string => new Date(Date.parse(now) + seconds * 1000).toISOString();
  await using connection = await session(url);
  await connection.execute(
    "SELECT pg_replication_origin_create('clock'); SELECT pg_replication_origin_session_setup('clock')",
  );
  const times = [10, 60, 20, 30, 70];
  for (const [index, seconds] of times.entries())
    await connection.execute(
      `BEGIN; SELECT pg_replication_origin_xact_setup('0/${index + 1}', '${at(seconds)}'); INSERT INTO ledger DEFAULT VALUES; COMMIT`,
    );
  await catchUp(url, folder.path);
  const restored = async (to: string): Promise<string | undefined> => {
    const target = absentDatabase(server);
    const args = ['--to', to, '--target', target, '--create', '--repository', folder.path];
    const ran = await tidemark(['restore', ...args]);
    if (ran.exitCode !== 0) return undefined;
    const found = await rows<{ id: string }>(target, 'SELECT id::text AS "id" FROM ledger ORDER BY 1');
    return found.map(({ id }) => id).join('');
  };
  expect(await restored(at(25))).toBe('1');
  expect(await restored(at(65))).toBe('1234');
  // Nothing later is stored: what is still to come could belong to it.
  expect(await restored(at(75))).toBeUndefined();
});
