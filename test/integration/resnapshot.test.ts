// P4: what breaks the chain is followed by a new snapshot, by capture itself.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture, namesOf } from '../support/capture.ts';
import { capture, catchUp } from '../support/capturing.ts';
import {
  absentDatabase,
  newDatabase,
  rows,
  session,
  sql,
  stockDump,
  testServer,
} from '../support/postgres.ts';
import { expectSamePoint } from '../support/same-point.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

const DATA = ['--data-only', '--exclude-schema=tidemark'];

interface Listed {
  readonly snapshots: readonly { readonly id: string; readonly scope: string; readonly use: string }[];
  readonly windows: readonly { readonly from: string; readonly to: string }[];
  readonly gaps: readonly { readonly id: string; readonly reason: string }[];
}

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(18, { max_replication_slots: '8' });
});
afterAll(() => server[Symbol.asyncDispose]());

async function prepared(): Promise<{ url: string; path: string; common: string[] } & AsyncDisposable> {
  const folder = await temporaryFolder();
  const url = await newDatabase(server);
  await sql(url, `CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY)`);
  await sql(url, `INSERT INTO t SELECT n, 'v' FROM generate_series(1, 100) n`);
  await initCapture(url, folder.path);
  return {
    url,
    path: folder.path,
    common: ['--url', url, '--repository', folder.path],
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

function list(at: { readonly common: string[] }): Promise<Listed> {
  return tidemarkJson(['list', ...at.common]) as unknown as Promise<Listed>;
}

/** Until capture is past every snapshot: whoever commits makes it beat, and store. */
async function passed(at: { readonly url: string; readonly common: string[] }): Promise<Listed> {
  let found = await list(at);
  await until(async () => {
    await sql(at.url, `UPDATE t SET v = 'w' WHERE id = 1`);
    found = await list(at);
    return !found.snapshots.some(({ use }) => use === 'waiting');
  });
  return found;
}

test.concurrent('a table that was rewritten and redefined: a whole snapshot, and all of it comes back again, by stock pg_dump', async () => {
  await using at = await prepared();
  const run = capture(at.url, at.path, ['--resnapshot']);
  await run.said('streaming');
  // A heartbeat that is stored stands before any snapshot that follows.
  await run.said('status');
  await tidemarkJson(['snapshot', ...at.common]);
  const before = await list(at);
  await sql(at.url, 'ALTER TABLE t ADD u uuid DEFAULT gen_random_uuid()');
  expect(await run.said('snapshot-begun')).toMatchObject({ gaps: [expect.any(String) as string] });
  const { snapshot } = await run.said('snapshot-taken');
  const after = await passed(at);
  await run.stop();
  await catchUp(at.url, at.path);
  expect(after.gaps).toMatchObject([{ reason: 'table-rewritten' }]);
  expect(after.snapshots.length).toBe(before.snapshots.length + 1);
  expect(after.snapshots.find(({ id }) => id === snapshot)).toMatchObject({ scope: 'whole', use: 'usable' });
  // Around the gap: up to it with the older snapshot, and on from the newer one.
  expect(after.windows).toHaveLength(2);
  const target = absentDatabase(server);
  await tidemarkJson(['restore', '--repository', at.path, '--target', target, '--create']);
  expectSamePoint(await stockDump(target, 18, DATA), await stockDump(at.url, 18, DATA));
});

test.concurrent('a table that was rewritten, but is made as before: a snapshot of it alone, and all comes back, by stock pg_dump', async () => {
  await using at = await prepared();
  const run = capture(at.url, at.path, ['--resnapshot']);
  await run.said('streaming');
  await run.said('status');
  await tidemarkJson(['snapshot', ...at.common]);
  await passed(at);
  await sql(at.url, `ALTER TABLE t ALTER v TYPE text USING upper(v); INSERT INTO other VALUES (1)`);
  expect(await run.said('snapshot-begun')).toMatchObject({ tables: [{ schema: 'public', name: 't' }] });
  const { snapshot } = await run.said('snapshot-taken');
  const after = await passed(at);
  await run.stop();
  await catchUp(at.url, at.path);
  expect(after.snapshots.find(({ id }) => id === snapshot)).toMatchObject({
    scope: 'partial',
    use: 'usable',
  });
  expect(after.windows).toHaveLength(2);
  const target = absentDatabase(server);
  await tidemark(['restore', '--repository', at.path, '--target', target, '--create']);
  expectSamePoint(await stockDump(target, 18, DATA), await stockDump(at.url, 18, DATA));
});

test.concurrent('a slot that was dropped: a whole snapshot; ^C stops it with capture; a second gap waits for an hour', async () => {
  await using at = await prepared();
  const { slot } = await namesOf(at.path);
  const first = capture(at.url, at.path, ['--resnapshot']);
  await first.said('streaming');
  await first.stop();
  expect(first.events.some(({ kind }) => kind === 'snapshot-begun')).toBe(false);
  await sql(at.url, `SELECT pg_drop_replication_slot('${slot}')`);

  await using holder = await session(at.url);
  const second = capture(at.url, at.path, ['--resnapshot']);
  await second.said('snapshot-wanted');
  await second.said('streaming');
  await holder.execute('BEGIN; LOCK TABLE other IN ACCESS EXCLUSIVE MODE');
  await second.said('snapshot-begun');
  expect(await second.stop('SIGINT')).toMatchObject({ exitCode: 0 });
  await holder.execute('ROLLBACK');
  await until(
    async () =>
      (
        await rows(
          at.url,
          `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name ~ '^tidemark (snapshot|capture)'`,
        )
      ).length === 0,
  );
  expect((await list(at)).snapshots).toEqual([]);

  const third = capture(at.url, at.path, ['--resnapshot']);
  const { snapshot } = await third.said('snapshot-taken');
  const { snapshots } = await passed(at);
  await third.stop();
  expect(snapshots).toMatchObject([{ id: snapshot, scope: 'whole', use: 'usable' }]);

  await sql(at.url, `SELECT pg_drop_replication_slot('${slot}')`);
  const fourth = capture(at.url, at.path, ['--resnapshot']);
  const { until: later } = await fourth.said('snapshot-postponed');
  expect(Date.parse(String(later)) - Date.now()).toBeGreaterThan(55 * 60_000);
  await fourth.stop();
  expect(fourth.events.some(({ kind }) => kind === 'snapshot-begun')).toBe(false);
  expect((await list(at)).gaps).toHaveLength(2);
});
