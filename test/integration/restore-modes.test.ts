import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { absentDatabase, rows, sampleDatabase, sql, stockDump, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

let server: ThrowawayServer;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let source: string;
let common: string[];

beforeAll(async () => {
  server = await testServer(16);
  folder = await temporaryFolder();
  source = await sampleDatabase(server, 0.002);
  common = ['--url', source, '--repository', folder.path];
  await tidemarkJson(['snapshot', ...common]);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

async function restored(...args: string[]): Promise<string> {
  const target = absentDatabase(server);
  await tidemarkJson(['restore', ...common, '--target', target, '--create', ...args]);
  return target;
}

const count = async (url: string, table: string): Promise<string> =>
  (await rows<{ n: string }>(url, `SELECT count(*)::text AS n FROM ${table}`))[0]?.n ?? '';

test('some tables alone, with all that they are made of', async () => {
  const target = await restored(
    '--table',
    'market.payments',
    '--table',
    '"a.b"."c"',
    '--table',
    'market.analytics_events',
  );
  const tables = await rows<{ name: string }>(
    target,
    `SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
      WHERE relkind IN ('r', 'p') AND nspname !~ '^(pg_|information_schema)' ORDER BY 1`,
  );
  expect(tables.map((table) => table.name).filter((name) => !name.includes('analytics'))).toEqual([
    '"a.b".c',
    'market.payments',
  ]);
  for (const table of ['market.payments', '"a.b"."c"', 'market.analytics_events']) {
    expect(await count(target, table)).toBe(await count(source, table));
  }
  const only = ['--data-only', '-t', 'market.payments'];
  expect(await stockDump(target, 16, only)).toBe(await stockDump(source, 16, only));
});

test('a table alone comes back with what was granted on it, by its columns too', async () => {
  const other = await sampleDatabase(server, 0.001);
  await sql(
    other,
    'GRANT SELECT, UPDATE (email) ON market.users TO sample_app; COMMENT ON TABLE market.users IS $$people$$',
  );
  const own = ['--url', other, '--repository', `${folder.path}/grants`];
  await tidemarkJson(['snapshot', ...own]);
  const target = absentDatabase(server);
  await tidemarkJson(['restore', ...own, '--target', target, '--create', '--table', 'market.users']);
  const granted = (url: string) =>
    rows(
      url,
      `SELECT relacl::text AS "table", (SELECT string_agg(attname || attacl::text, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid) AS "columns",
              obj_description(oid) AS "comment" FROM pg_class c WHERE oid = 'market.users'::regclass`,
    );
  expect(await granted(target)).toEqual(await granted(other));
  expect(JSON.stringify(await granted(target))).toContain('sample_app=r');
});

test('definitions without rows', async () => {
  const target = await restored('--schema-only');
  const schema = ['--schema-only'];
  expect(await stockDump(target, 16, schema)).toBe(await stockDump(source, 16, schema));
  expect(await count(target, 'market.users')).toBe('0');
});

test('rows into tables that exist; rows that stand there refuse it, --clean replaces them', async () => {
  const target = await restored('--schema-only');
  const data = [
    'restore',
    ...common,
    '--target',
    target,
    '--data-only',
    '--table',
    'market.payments',
    '--table',
    'market.users',
  ];
  await tidemarkJson(data);
  expect(await count(target, 'market.payments')).toBe(await count(source, 'market.payments'));
  expect((await tidemark(data)).exitCode).toBe(4);
  await sql(target, "UPDATE market.payments SET currency = 'USD'");
  await tidemarkJson([
    'restore',
    ...common,
    '--target',
    target,
    '--table',
    'market.payments',
    '--clean',
    '--yes',
  ]);
  const only = ['--data-only', '-t', 'market.payments'];
  expect(await stockDump(target, 16, only)).toBe(await stockDump(source, 16, only));
});

test('--clean of a table that others reference is refused and changes nothing', async () => {
  const target = await restored();
  await sql(target, "UPDATE market.users SET full_name = 'changed'");
  const before = await stockDump(target, 16);
  const { exitCode, stderr } = await tidemark([
    'restore',
    ...common,
    '--target',
    target,
    '--table',
    'market.users',
    '--clean',
    '--yes',
  ]);
  expect(stderr).toContain('target.blocked');
  expect(exitCode).toBe(4);
  expect(await stockDump(target, 16)).toBe(before);
});

test('--clean of everything replaces what was changed', async () => {
  const target = await restored();
  await sql(
    target,
    'DELETE FROM market.messages WHERE id % 2 = 0 AND id NOT IN (SELECT last_message FROM market.conversations WHERE last_message IS NOT NULL); DROP VIEW market.published; ALTER TABLE market.users ADD COLUMN more int',
  );
  await tidemarkJson(['restore', ...common, '--target', target, '--clean', '--yes']);
  expect(await stockDump(target, 16)).toBe(await stockDump(source, 16));
});

test('--clean that would leave something behind drops nothing', async () => {
  const target = await restored();
  await sql(target, 'CREATE TABLE market.mine (id int); INSERT INTO market.mine VALUES (1)');
  await sql(target, 'ALTER TABLE market.mine SET SCHEMA public');
  const before = await stockDump(target, 16);
  const refused = await tidemark(['restore', ...common, '--target', target, '--clean', '--yes']);
  expect(refused.stderr).toContain('the target is not empty: relation public.mine');
  expect(refused.exitCode).toBe(4);
  expect(await stockDump(target, 16)).toBe(before);
});

test('--clean asks, and without anyone to answer refuses', async () => {
  const target = await restored('--schema-only');
  const { exitCode, stderr } = await tidemark(['restore', ...common, '--target', target, '--clean']);
  expect(stderr).toContain('target.unconfirmed');
  expect(exitCode).toBe(4);
});

test('P7: the source itself is refused as a target, by any name', async () => {
  const before = await stockDump(source, 16);
  for (const target of [source, source.replace('127.0.0.1', 'localhost')]) {
    const { exitCode, stderr } = await tidemark([
      'restore',
      ...common,
      '--target',
      target,
      '--clean',
      '--yes',
    ]);
    expect(stderr).toContain('target.is_source');
    expect(exitCode).toBe(4);
  }
  expect(await stockDump(source, 16)).toBe(before);
});

test('a target that is not empty is refused', async () => {
  const target = await restored('--schema-only');
  const { exitCode, stderr } = await tidemark(['restore', ...common, '--target', target]);
  expect(stderr).toContain('target.not_empty');
  expect(exitCode).toBe(4);
});

test('missing roles block, and --globals makes them', async () => {
  await using other = await testServer(16);
  const target = other.url('elsewhere');
  const args = ['restore', ...common, '--target', target, '--create'];
  const { exitCode, stderr } = await tidemark(args);
  expect(stderr).toContain('sample_app');
  expect(exitCode).toBe(4);
  await tidemarkJson([...args, '--globals']);
  expect(await stockDump(target, 16)).toBe(await stockDump(source, 16));
});

test('an older major is refused', async () => {
  await using older = await testServer(15);
  const { exitCode, stderr } = await tidemark([
    'restore',
    ...common,
    '--target',
    older.url('old'),
    '--create',
  ]);
  expect(stderr).toContain('the target is PostgreSQL 15, the snapshot is of 16');
  expect(exitCode).toBe(4);
});

test('targets: a snapshot by id, its exact instant; a time between is refused with the nearest points', async () => {
  const { snapshots } = (await tidemarkJson(['list', ...common])) as {
    snapshots: { id: string; instant: string }[];
  };
  const [snapshot] = snapshots;
  expect(snapshots).toHaveLength(1);
  for (const to of [`snapshot:${snapshot?.id}`, snapshot?.instant ?? '']) {
    const { snapshot: found } = await tidemarkJson([
      'restore',
      ...common,
      '--target',
      absentDatabase(server),
      '--create',
      '--dry-run',
      '--to',
      to,
    ]);
    expect(found).toBe(snapshot?.id);
  }
  const { exitCode, stderr } = await tidemark([
    'restore',
    ...common,
    '--target',
    absentDatabase(server),
    '--to',
    '2030-01-01T00:00:00Z',
  ]);
  expect(stderr).toContain(`snapshot:${snapshot?.id}`);
  expect(exitCode).toBe(5);
});
