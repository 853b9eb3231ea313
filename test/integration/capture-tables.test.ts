// What is not published of a table is in a gap, or told: judged by looks at the catalog alone.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseLsn } from '../../src/model/lsn.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture, members, namesOf } from '../support/capture.ts';
import { capture, catchUp, position } from '../support/capturing.ts';
import type { Capturing } from '../support/capturing.ts';
import { absentDatabase, newDatabase, sql, stockDump, testServer } from '../support/postgres.ts';
import { expectSamePoint } from '../support/same-point.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

const DATA = ['--data-only', '--exclude-schema=tidemark'];

interface Listed {
  readonly snapshots: readonly { readonly use: string }[];
  readonly streams: readonly {
    readonly limited: readonly { readonly name: string; readonly stored: string; readonly reason: string }[];
  }[];
  readonly gaps: readonly {
    readonly reason: string;
    readonly from: { readonly lsn: string };
    readonly to?: { readonly lsn: string };
    readonly tables?: readonly { readonly name: string }[];
  }[];
}

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(18, { max_replication_slots: '8', max_wal_senders: '8' });
  await sql(server.url(), `CREATE ROLE plain LOGIN REPLICATION PASSWORD 'secret'`);
});
afterAll(() => server[Symbol.asyncDispose]());

interface Source extends AsyncDisposable {
  /** As a superuser; and as the role that captures. */
  readonly admin: string;
  readonly url: string;
  readonly path: string;
  readonly common: string[];
}

async function source(role: 'superuser' | 'plain', tables: string): Promise<Source> {
  const folder = await temporaryFolder();
  const admin = await newDatabase(server);
  const url = role === 'plain' ? admin.replace(/\/\/postgres:[^@]*@/, '//plain:secret@') : admin;
  if (role === 'plain')
    await sql(
      admin,
      `GRANT CREATE ON DATABASE ${new URL(admin).pathname.slice(1)} TO plain; GRANT CREATE ON SCHEMA public TO plain`,
    );
  await sql(url, tables);
  await initCapture(url, folder.path);
  return {
    admin,
    url,
    path: folder.path,
    common: ['--url', url, '--repository', folder.path],
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

const list = (at: Source): Promise<Listed> =>
  tidemarkJson(['list', ...at.common]) as unknown as Promise<Listed>;

async function limitedOf(at: Source): Promise<string[]> {
  const { streams } = await list(at);
  return (streams.at(-1)?.limited ?? []).map(({ name, stored, reason }) => `${name}: ${stored}, ${reason}`);
}

/** A snapshot that capture has passed: whoever commits makes it beat, and store. */
async function snapshot(at: Source): Promise<void> {
  await tidemarkJson(['snapshot', ...at.common]);
  await until(async () => {
    await sql(at.url, 'UPDATE t SET v = v + 1 WHERE id = 1');
    return (await list(at)).snapshots.every(({ use }) => use !== 'waiting');
  });
}

/** Until what is committed by now is stored; answers with its position. */
async function stored(at: Source, run: Capturing): Promise<string> {
  const now = await position(at.url);
  const lsn = (text: unknown): bigint => parseLsn(String(text)) ?? 0n;
  await until(async () => {
    await sql(at.url, 'UPDATE t SET v = v + 1 WHERE id = 1');
    return run.events.some(({ kind, tidemark }) => kind === 'status' && lsn(tidemark) > lsn(now));
  });
  return now;
}

async function restored(at: Source, to: string): Promise<{ target: string; stdout: string }> {
  const target = absentDatabase(server);
  const ran = await tidemark([
    'restore',
    '--repository',
    at.path,
    '--to',
    to,
    '--target',
    target,
    '--create',
  ]);
  expect(ran.exitCode).toBe(0);
  return { target, stdout: ran.stdout };
}

test.concurrent('I 23, I 26: without event triggers a new table is published at the next look; until then a gap of it, refused; a table without a key is told', async () => {
  await using at = await source(
    'plain',
    'CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1); CREATE TABLE keyless (v int); INSERT INTO keyless VALUES (1); CREATE TABLE bare ()',
  );
  const run = capture(at.url, at.path);
  await run.said('status', 2);
  expect(await limitedOf(at)).toEqual(['bare: inserts, no-identity', 'keyless: inserts, no-identity']);
  await snapshot(at);
  await sql(at.url, 'CREATE TABLE later (id int PRIMARY KEY, v int); INSERT INTO later VALUES (1, 1)');
  expect(await run.said('publications-tended')).toMatchObject({ pending: [] });
  const { gap } = await run.said('gap');
  expect(gap).toMatchObject({ reason: 'table-added', tables: [{ name: 'later' }] });
  expect(await members(at.admin, (await namesOf(at.path)).changes)).toContain('later');
  await sql(at.url, 'UPDATE later SET v = 2; UPDATE keyless SET v = 2');
  const inside = await stored(at, run);
  const refused = await tidemark([
    'restore',
    '--repository',
    at.path,
    '--to',
    `lsn:${inside}`,
    '--target',
    absentDatabase(server),
    '--create',
    '--json',
  ]);
  expect(JSON.parse(refused.stdout)).toMatchObject({
    error: { code: 'recovery.no_point', message: expect.stringContaining('public.later') as unknown },
  });
  await snapshot(at);
  await sql(at.url, 'UPDATE later SET v = 3; INSERT INTO keyless VALUES (3)');
  await run.stop();
  await catchUp(at.url, at.path);
  const { stdout, target } = await restored(at, 'latest');
  expect(stdout).toContain('updates and deletes of public.bare, public.keyless are not captured (no key)');
  expectSamePoint(await stockDump(target, 18, DATA), await stockDump(at.admin, 18, DATA));
});

test.concurrent('I 22: a table that loses its key, gets one, is filtered, made UNLOGGED and LOGGED; while capture runs and while it does not', async () => {
  await using at = await source(
    'superuser',
    'CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1); CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE b (id int PRIMARY KEY)',
  );
  const { changes } = await namesOf(at.path);
  const first = capture(at.url, at.path);
  await first.said('status', 2);
  await sql(at.url, 'ALTER TABLE a DROP CONSTRAINT a_pkey');
  await first.said('tables-limited');
  expect(await limitedOf(at)).toEqual(['a: inserts, no-identity']);
  await sql(at.url, 'ALTER TABLE a ADD PRIMARY KEY (id)');
  expect((await first.said('gap'))['gap']).toMatchObject({ reason: 'no-identity', tables: [{ name: 'a' }] });
  expect(await limitedOf(at)).toEqual([]);
  await stored(at, first);
  await first.stop('SIGKILL');

  await sql(at.url, `ALTER PUBLICATION ${changes} DROP TABLE a, b; ALTER TABLE b SET UNLOGGED`);
  const second = capture(at.url, at.path);
  await second.said('tables-limited');
  // The next look mends what may be mended.
  await second.said('publications-tended');
  // The rewrite, by the trigger; and what was not published, by the look.
  await second.said('gap', 2);
  expect(await limitedOf(at)).toEqual(['b: nothing, unlogged']);
  await sql(at.url, 'ALTER TABLE b SET LOGGED');
  await second.said('gap', 4);
  await sql(at.url, `ALTER PUBLICATION ${changes} SET TABLE t WHERE (id > 5), a, b`);
  await second.said('gap', 5);
  await second.stop();
  const { gaps } = await list(at);
  expect(
    gaps.map(({ reason, tables }) => `${reason} ${tables?.map(({ name }) => name).join()}`).sort(),
  ).toEqual([
    'no-identity a',
    // A filter is judged by the publication: all that it may have kept back.
    'publication-changed undefined',
    'table-added a',
    'table-added b',
    'table-rewritten b',
    'table-rewritten b',
  ]);
  for (const { to } of gaps.filter(({ tables }) => tables !== undefined)) expect(to).toBeDefined();
});
