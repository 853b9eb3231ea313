// TRUNCATE and ALTER TABLE that arrive at the worst moments of a snapshot: it is of one instant, or it ends by name.
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { counted } from '../support/failpoints.ts';
import {
  absentDatabase,
  newDatabase,
  rows,
  session,
  sql,
  stockDump,
  testServer,
} from '../support/postgres.ts';
import { reached, start, temporaryFolder, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

const MAJOR = 17;
let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(MAJOR);
}, 60_000);
afterAll(() => server[Symbol.asyncDispose]());

async function setUp() {
  const source = await newDatabase(server);
  await sql(
    source,
    "CREATE TABLE t AS SELECT n, 'before' AS v FROM generate_series(1, 1000) n; CREATE TABLE other AS SELECT n FROM generate_series(1, 500) n",
  );
  const folder = await temporaryFolder();
  const common = ['--url', source, '--repository', folder.path];
  return { source, folder, common, args: ['snapshot', ...common, '--jobs', '1'] };
}

/** Until someone waits for a lock on a table. */
const waiting = (source: string, lock: { readonly for: string; readonly mode: string }) =>
  until(async () => {
    const found = await rows(
      source,
      `SELECT FROM pg_locks WHERE relation = '${lock.for}'::regclass AND mode = '${lock.mode}' AND NOT granted`,
    );
    return found.length > 0;
  });

async function restored(common: readonly string[]): Promise<string> {
  const target = absentDatabase(server);
  await tidemarkJson(['restore', ...common, '--target', target, '--create']);
  return stockDump(target, MAJOR);
}

test.each([
  ['TRUNCATE', 'TRUNCATE other'],
  ['ALTER TABLE', 'ALTER TABLE other ADD COLUMN late int DEFAULT 7, ALTER n TYPE bigint'],
])(
  'I 16: %s of a table that no worker has locked yet waits, and is not in the snapshot',
  async (_name, change) => {
    const { source, folder, common, args } = await setUp();
    await using _ = folder;
    const before = await stockDump(source, MAJOR);
    const running = start(args, { env: { TIDEMARK_FAILPOINTS: 'snapshot.range-locked=sleep:5000' } });
    await reached(running, 'snapshot.range-locked');
    // pg_dump has its locks and is gone: only the keeper's stands in the way.
    await until(() =>
      readdirSync(folder.path, { recursive: true, encoding: 'utf8' }).some((path) =>
        path.endsWith('schema.dump'),
      ),
    );
    const changed = sql(source, change);
    await waiting(source, { for: 'other', mode: 'AccessExclusiveLock' });
    const { exitCode, stderr } = await running;
    expect(stderr).not.toContain('error');
    expect(exitCode).toBe(0);
    await changed;
    expect(await stockDump(source, MAJOR)).not.toBe(before);
    expect(await restored(common)).toBe(before);
  },
);

test('P7: a TRUNCATE between our locks and those of pg_dump: gives way by name, nothing left', async () => {
  const { source, folder, args } = await setUp();
  await using _ = folder;
  const running = start([...args, '--lock-timeout', '1s'], {
    env: { TIDEMARK_FAILPOINTS: 'snapshot.locked=sleep:500' },
  });
  await reached(running, 'snapshot.locked');
  const truncated = sql(source, 'TRUNCATE t');
  await waiting(source, { for: 't', mode: 'AccessExclusiveLock' });
  const { exitCode, stderr } = await running;
  expect(stderr).toContain('source.gave_way');
  expect(stderr).toContain('AccessExclusiveLock on public.t');
  expect(exitCode).toBe(6);
  await truncated;
  expect(await counted({ url: folder.path })).toEqual({ snapshots: 0, unfinished: 0 });
});

test('I 16: a TRUNCATE and new rows that commit while the snapshot waits for its locks are in it', async () => {
  const { source, folder, common, args } = await setUp();
  await using _ = folder;
  await using writer = await session(source);
  await writer.execute("BEGIN; TRUNCATE t; INSERT INTO t SELECT n, 'after' FROM generate_series(1, 10) n");
  const running = start(args);
  await waiting(source, { for: 't', mode: 'AccessShareLock' });
  await writer.execute('COMMIT');
  expect((await running).exitCode).toBe(0);
  const now = await stockDump(source, MAJOR);
  expect(now).toContain('after');
  expect(await restored(common)).toBe(now);
});

test('I 16: a table that changed its columns while the snapshot waited for its locks: source.changed, nothing left', async () => {
  const { source, folder, args } = await setUp();
  await using _ = folder;
  await using writer = await session(source);
  await writer.execute('BEGIN; ALTER TABLE t ADD COLUMN late int');
  const running = start(args);
  await waiting(source, { for: 't', mode: 'AccessShareLock' });
  await writer.execute('COMMIT');
  const { exitCode, stderr } = await running;
  expect(stderr).toContain('source.changed');
  expect(exitCode).toBe(6);
  expect(await counted({ url: folder.path })).toEqual({ snapshots: 0, unfinished: 0 });
});
