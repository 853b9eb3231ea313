import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { absentDatabase, newDatabase, rows, sql, stockDump, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

const MAJORS = [14, 18] as const;
const nameOf = (url: string): string => new URL(url).pathname.slice(1);
/** What pg_dump --create carries, with everything that could mislead a reader of SQL in it. */
const properties = (name: string): string => `
  CREATE ROLE "own er"; CREATE ROLE "a;""b"; CREATE ROLE app;
  ALTER DATABASE ${name} OWNER TO "own er"; ALTER DATABASE ${name} CONNECTION LIMIT 17;
  ALTER DATABASE ${name} SET search_path = app, "a b", public; ALTER DATABASE ${name} SET log_min_duration_statement = 7;
  ALTER DATABASE ${name} SET "app.jwt_secret" = E'it''s; not \\\\ for the log\\nALTER DATABASE x OWNER TO y;';
  ALTER DATABASE ${name} SET default_transaction_read_only = on;
  ALTER ROLE app IN DATABASE ${name} SET statement_timeout = '5s'; ALTER ROLE "a;""b" IN DATABASE ${name} SET work_mem = '8MB';
  COMMENT ON DATABASE ${name} IS 'about; it''s "name"';
  REVOKE CONNECT ON DATABASE ${name} FROM PUBLIC; GRANT CONNECT, CREATE ON DATABASE ${name} TO "a;""b" WITH GRANT OPTION`;

let life: AsyncDisposableStack;
let server: ThrowawayServer;
let source: string;
let common: string[];

async function prepare(major: (typeof MAJORS)[number]) {
  const from = life.use(await testServer(major));
  const url = await newDatabase(from);
  await sql(
    url,
    `CREATE TABLE public.t (id int); INSERT INTO public.t VALUES (1); ${properties(nameOf(url))}`,
  );
  return { from, url };
}

/** Stock pg_dump's own account of a database, under one name. */
async function account(url: string, major: number): Promise<string> {
  return (await stockDump(url, major, ['--create'])).replaceAll(nameOf(url), 'some_name');
}

beforeAll(async () => {
  life = new AsyncDisposableStack();
  const prepared = await prepare(18);
  server = prepared.from;
  source = prepared.url;
  common = ['--url', source, '--repository', life.use(await temporaryFolder()).path];
  await tidemarkJson(['snapshot', ...common]);
});
afterAll(() => life.disposeAsync());

test.for([
  [14, 'copy'],
  [18, 'copy'],
  [18, 'pg_dump'],
] as const)(
  'PostgreSQL %i, engine %s: owner, settings, limit, comment and privileges come back with --create',
  async ([major, engine]) => {
    const from = major === 18 ? { from: server, url: source } : await prepare(major);
    await using folder = await temporaryFolder();
    const at = ['--url', from.url, '--repository', folder.path];
    await tidemarkJson(['snapshot', ...at, '--engine', engine]);
    const target = absentDatabase(from.from);
    const { report } = await tidemarkJson(['restore', ...at, '--target', target, '--create']);
    expect(JSON.stringify(report)).not.toContain('not brought back');
    const restored = await account(target, major);
    expect(restored).toBe(await account(from.url, major));
    expect(restored).toContain('SET "statement_timeout" TO');
    expect(restored).toContain('CONNECTION LIMIT = 17');
  },
);

test('elsewhere, with --globals into a database that is there; without either they are named', async () => {
  await using other = await testServer(18);
  const target = await newDatabase(other);
  const restore = ['restore', ...common, '--target', target];
  const plan = await tidemark([...restore, '--no-owner', '--no-privileges', '--dry-run']);
  expect(plan.stdout).toContain(
    '--create or --globals would bring back: comment, connection limit, setting search_path, setting log_min_duration_statement, setting app.jwt_secret, setting default_transaction_read_only',
  );
  await tidemarkJson([...restore, '--globals']);
  expect(await account(target, 18)).toBe(await account(source, 18));
});

test('roles that are missing, and what the role may not say, are told; the rest comes back', async () => {
  await using other = await testServer(18);
  await sql(other.url(), "CREATE ROLE modest LOGIN CREATEDB PASSWORD 'modest'; CREATE ROLE app");
  const target = other.url('restored').replace(/\/\/postgres:[^@]*@/, '//modest:modest@');
  const { report } = (await tidemarkJson([
    'restore',
    ...common,
    '--target',
    target,
    '--create',
    '--no-owner',
    '--no-privileges',
  ])) as { report: { notes: string[] } };
  const notes = report.notes.filter((note) => note.includes('not brought back'));
  const denied = (what: string, why: string): string =>
    `the database’s setting ${what} is not brought back: ${why}`;
  expect([...notes].sort()).toEqual([
    denied('app.jwt_secret', 'target: permission denied to set parameter "app.jwt_secret"'),
    denied(
      'log_min_duration_statement',
      'target: permission denied to set parameter "log_min_duration_statement"',
    ),
    denied('statement_timeout of role app', 'target: permission denied to alter role'),
    denied('work_mem of role a;"b', 'the target has no role a;"b'),
  ]);
  const [settings] = await rows<{ all: string[] }>(
    target,
    `SELECT setconfig AS "all" FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase
      WHERE datname = 'restored' AND setrole = 0`,
  );
  expect(settings?.all).toEqual(['search_path=app, "a b", public', 'default_transaction_read_only=on']);
});

test('of some tables nothing is said of the database; values are never told', async () => {
  const target = absentDatabase(server);
  const only = ['restore', ...common, '--target', target, '--create', '--table', 'public.t'];
  const one = await tidemark(only);
  expect(one.exitCode).toBe(0);
  expect(
    await rows(
      target,
      'SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = current_database()',
    ),
  ).toEqual([]);
  const plan = await tidemark(['restore', ...common, '--target', target, '--dry-run']);
  expect(plan.stdout).toContain('app.jwt_secret');
  const shown = await tidemark(['show', 'latest', ...common, '--json']);
  for (const { stdout, stderr } of [one, plan, shown]) expect(stdout + stderr).not.toContain('for the log');
});
