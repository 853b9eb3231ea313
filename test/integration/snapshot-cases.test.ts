import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { askForFlush, isFlushed } from '../../src/snapshot/keeper.ts';
import {
  absentDatabase,
  newDatabase,
  rows,
  session,
  sql,
  stockDump,
  testServer,
} from '../support/postgres.ts';
import { reached, start, temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(17);
});
afterAll(() => server[Symbol.asyncDispose]());

/** Snapshot, restore, compare by stock pg_dump. */
async function roundTrip(
  source: string,
  options: { snapshot?: string[]; restore?: string[] } = {},
): Promise<string> {
  await using folder = await temporaryFolder();
  const common = ['--url', source, '--repository', folder.path];
  await tidemarkJson(['snapshot', ...common, ...(options.snapshot ?? [])]);
  await tidemarkJson(['verify', ...common, '--deep']);
  const target = absentDatabase(server);
  await tidemarkJson(['restore', ...common, '--target', target, '--create', ...(options.restore ?? [])]);
  expect(await stockDump(target, 17)).toBe(await stockDump(source, 17));
  return target;
}

test.for(['gzip', 'none'])('compression %s', async (compression) => {
  const source = await newDatabase(server);
  await sql(
    source,
    "CREATE TABLE t AS SELECT n, repeat('x', 50) AS v FROM generate_series(1, 200000) n; CREATE TABLE nothing (id int)",
  );
  await roundTrip(source, { snapshot: ['--compression', compression] });
});

test('binary format', async () => {
  const source = await newDatabase(server);
  await sql(
    source,
    "CREATE TABLE t AS SELECT n, n / 7.0 AS f, now() + n * interval '1 s' AS at, md5(n::text)::bytea AS b FROM generate_series(1, 300000) n; CREATE TABLE nothing (id int)",
  );
  await roundTrip(source, { snapshot: ['--format', 'binary'] });
});

test('many archives', async () => {
  const source = await newDatabase(server);
  await sql(source, 'CREATE TABLE t AS SELECT n, md5(n::text) AS v FROM generate_series(1, 600000) n');
  await using folder = await temporaryFolder();
  const common = ['--url', source, '--repository', folder.path];
  const { manifest } = (await tidemarkJson([
    'snapshot',
    ...common,
    '--archive-size',
    '1MB',
    '--jobs',
    '2',
  ])) as { manifest: { archives: unknown[] } };
  expect(manifest.archives.length).toBeGreaterThan(5);
  const target = absentDatabase(server);
  await tidemarkJson(['restore', ...common, '--target', target, '--create']);
  expect(await stockDump(target, 17)).toBe(await stockDump(source, 17));
});

test('1600 columns, a 200 MB value, a table of nothing', async () => {
  const source = await newDatabase(server);
  const columns = Array.from({ length: 1600 }, (_, index) => `c${index} smallint`).join(', ');
  await sql(
    source,
    `CREATE TABLE wide (${columns}); INSERT INTO wide DEFAULT VALUES; INSERT INTO wide (c0, c1599) VALUES (1, 2);
    CREATE TABLE large (id int, v text); INSERT INTO large SELECT 1, repeat('0123456789', 20000000); CREATE TABLE empty (id int)`,
  );
  await roundTrip(source);
});

test('I 54: a table that grew a thousandfold after ANALYZE comes back whole', async () => {
  const source = await newDatabase(server);
  await sql(
    source,
    `CREATE TABLE grown (n int, v text) WITH (autovacuum_enabled = false); INSERT INTO grown VALUES (0, 'first'); ANALYZE grown;
    INSERT INTO grown SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 60000) n`,
  );
  const [planned] = await rows<{ pages: number }>(
    source,
    "SELECT relpages AS pages FROM pg_class WHERE relname = 'grown'",
  );
  expect(planned?.pages).toBe(1);
  await roundTrip(source);
});

test.for(['LATIN1', 'SQL_ASCII', 'EUC_JP'])('a database in %s keeps its bytes', async (encoding) => {
  const source = await newDatabase(server, `ENCODING '${encoding}' LC_COLLATE 'C' LC_CTYPE 'C'`);
  const bytes = encoding === 'EUC_JP' ? String.raw`\xc6fccbdc` : String.raw`\xe4f6fc`;
  await sql(
    source,
    `CREATE TABLE t (v text); INSERT INTO t SELECT convert_from('${bytes}', '${encoding}'); COMMENT ON TABLE t IS 'plain'`,
  );
  await roundTrip(source);
});

test('GUCs of the role and database do not leak into the archive', async () => {
  const source = await newDatabase(server);
  const name = new URL(source).pathname.slice(1);
  await sql(
    source,
    `ALTER DATABASE ${name} SET datestyle = 'SQL, DMY'; ALTER DATABASE ${name} SET intervalstyle = 'iso_8601'; ALTER DATABASE ${name} SET bytea_output = 'escape';
    ALTER DATABASE ${name} SET extra_float_digits = 0; ALTER DATABASE ${name} SET timezone = 'Asia/Tokyo'; ALTER DATABASE ${name} SET search_path = 'elsewhere';
    CREATE TABLE public.t (d date, i interval, b bytea, f float8, z timestamptz, r regclass);
    INSERT INTO public.t VALUES ('02/03/2026', 'P1M2DT3H', '\\001', 0.1::float8 + 0.2::float8, now(), 'public.t')`,
  );
  await roundTrip(source);
});

test('P3, I 12: writers keep writing; the snapshot is one instant', async () => {
  const source = await newDatabase(server);
  await sql(
    source,
    "CREATE TABLE a (id bigint PRIMARY KEY, pad text); CREATE TABLE b (id bigint PRIMARY KEY, pad text); INSERT INTO a SELECT n, repeat('x', 500) FROM generate_series(1, 60000) n; INSERT INTO b SELECT * FROM a",
  );
  const stop = { now: false };
  const writer = async (offset: number): Promise<number> => {
    await using connection = await session(source);
    let id = 1_000_000 + offset;
    for (; !stop.now; id += 8)
      await connection.execute(
        `BEGIN; INSERT INTO a VALUES (${id}, 'new'); INSERT INTO b VALUES (${id}, 'new'); DELETE FROM a WHERE id = ${id % 60000}; DELETE FROM b WHERE id = ${id % 60000}; COMMIT`,
      );
    return id;
  };
  const writers = Array.from({ length: 8 }, (_, index) => writer(index));
  await using folder = await temporaryFolder();
  const common = ['--url', source, '--repository', folder.path];
  await tidemarkJson(['snapshot', ...common, '--jobs', '3']);
  stop.now = true;
  const ids = await Promise.all(writers);
  expect(Math.max(...ids)).toBeGreaterThan(1_000_100);
  const target = absentDatabase(server);
  await tidemarkJson(['restore', ...common, '--target', target, '--create']);
  const [difference] = await rows<{ n: string; both: string }>(
    target,
    'SELECT count(*)::text AS n, (SELECT count(*)::text FROM a) AS both FROM (SELECT id FROM a EXCEPT SELECT id FROM b UNION ALL (SELECT id FROM b EXCEPT SELECT id FROM a)) d',
  );
  expect(difference?.n).toBe('0');
  expect(Number(difference?.both)).toBeGreaterThan(50_000);
});

test('P7: gives way to a TRUNCATE that waits behind it, leaves nothing, and the TRUNCATE goes through', async () => {
  const source = await newDatabase(server);
  await sql(
    source,
    'CREATE TABLE t AS SELECT n, repeat(md5(n::text), 30) AS v FROM generate_series(1, 700000) n; CREATE TABLE other (id int)',
  );
  await using folder = await temporaryFolder();
  const common = ['--url', source, '--repository', folder.path];
  const snapshot = start([
    'snapshot',
    ...common,
    '--jobs',
    '1',
    '--compression',
    'gzip',
    '--give-way-after',
    '100ms',
  ]);
  await until(
    async () =>
      (await rows(source, "SELECT FROM pg_locks WHERE relation = 'other'::regclass AND granted")).length > 0,
  );
  const truncated = sql(source, 'TRUNCATE other');
  const { exitCode, stderr } = await snapshot;
  expect(stderr).toContain('source.gave_way');
  expect(exitCode).toBe(6);
  await truncated;
  expect(filesIn(folder.path)).toEqual(['repository.json', 'sources/main/source.json']);
});

test('a lock that is held is not waited for long', async () => {
  const source = await newDatabase(server);
  await sql(source, 'CREATE TABLE t (id int)');
  await using holder = await session(source);
  await holder.execute('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
  await using folder = await temporaryFolder();
  const { exitCode, stderr } = await tidemark([
    'snapshot',
    '--url',
    source,
    '--repository',
    folder.path,
    '--lock-timeout',
    '500ms',
  ]);
  expect(stderr).toContain('source.lock_timeout');
  expect(exitCode).toBe(6);
});

test('a role that may only read suffices; what it may not read is refused by name, RLS too', async () => {
  const source = await newDatabase(server);
  await sql(
    source,
    `CREATE TABLE public.seen (id serial PRIMARY KEY, v text); INSERT INTO public.seen (v) VALUES ('x'); CREATE TABLE public.unseen (id int); CREATE TABLE public.secured (id int);
    ALTER TABLE public.secured ENABLE ROW LEVEL SECURITY;
    DO $$ BEGIN CREATE ROLE reader LOGIN PASSWORD 'only reads'; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
    GRANT SELECT ON public.seen, public.secured, public.seen_id_seq TO reader`,
  );
  const reader = source.replace(/\/\/postgres:[^@]*@/, '//reader:only%20reads@');
  await using folder = await temporaryFolder();
  const take = (...args: string[]) =>
    tidemark(['snapshot', '--url', reader, '--repository', folder.path, ...args]);
  const all = await take();
  expect(all.stderr).toContain('public.unseen');
  expect(all.exitCode).toBe(6);
  const secured = await take('--exclude', 'public.unseen');
  expect(secured.stderr).toContain('source.row_security');
  expect(secured.exitCode).toBe(6);
  const scoped = await take('--exclude', 'public.unseen', '--exclude', 'public.secured');
  expect(scoped.stderr).not.toContain('error');
  expect(scoped.exitCode).toBe(0);
});

test('a partial snapshot is never taken for the whole (I 56)', async () => {
  const source = await newDatabase(server);
  await sql(source, 'CREATE TABLE a AS SELECT 1 AS id; CREATE TABLE b AS SELECT 2 AS id');
  await using folder = await temporaryFolder();
  const common = ['--url', source, '--repository', folder.path];
  await tidemarkJson(['snapshot', ...common, '--table', 'a']);
  const { exitCode, stderr } = await tidemark([
    'restore',
    ...common,
    '--target',
    absentDatabase(server),
    '--create',
  ]);
  expect(stderr).toContain('no whole snapshot');
  expect(exitCode).toBe(5);
});

test.for([
  [(url: string) => url.replace(/:\d+\//, ':9/'), 'source.unreachable'],
  [(url: string) => url.replace('127.0.0.1', 'no-such-host.invalid'), 'source.unreachable'],
  [(url: string) => url.replace(/:[^:@]*@/, ':wrong@'), 'source.authentication'],
  [(url: string) => url.replace(/\/test_\d+/, '/not_there'), 'source.no_database'],
  [(url: string) => `${url}?sslmode=require`, 'source.tls'],
  [() => 'postgresql://127.0.0.1:1/x?no_such_parameter=secret', 'config.invalid'],
  [() => 'mysql://x', 'config.invalid'],
] as const)('a bad URL has a clear end: %#', async ([change, code]) => {
  const source = await newDatabase(server);
  await using folder = await temporaryFolder();
  const { exitCode, stderr } = await tidemark([
    'snapshot',
    '--url',
    change(source),
    '--repository',
    folder.path,
  ]);
  expect(stderr).toContain(code);
  expect(stderr).not.toContain('secret');
  expect([2, 6]).toContain(exitCode);
});

test('a password full of separators works raw and percent-encoded, and is never printed', async () => {
  const source = await newDatabase(server);
  const password = 'p@ss:w/o?r#d%41';
  await sql(
    source,
    `DO $$ BEGIN CREATE ROLE odd SUPERUSER LOGIN PASSWORD '${password}'; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
  );
  for (const written of [encodeURIComponent(password), 'p@ss:w/o?r#d%2541']) {
    await using folder = await temporaryFolder();
    const ran = await tidemark([
      'snapshot',
      '--url',
      source.replace(/postgres:[^@]*@/, `odd:${written}@`),
      '--repository',
      folder.path,
    ]);
    expect(ran.stderr + ran.stdout).not.toContain('p@ss');
    expect(ran.exitCode).toBe(0);
  }
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}

function filesIn(path: string): string[] {
  const names = readdirSync(path, { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))
    .sort();
}

test('I 15: an idle server that writes its WAL out seldom is asked to do it now', async () => {
  await using lazy = await testServer(17, { wal_writer_delay: '10s' });
  const url = await newDatabase(lazy);
  await using connection = await session(url);
  await connection.execute("CREATE TABLE t (id int); SET synchronous_commit = 'off'; CHECKPOINT");
  // Just after the WAL writer has been at work, it sleeps for the whole of its delay.
  await vi.waitFor(
    async () => {
      await connection.execute('INSERT INTO t SELECT generate_series(1, 1000)');
      const [row] = await connection.query<{ position: string }>(
        'SELECT pg_current_wal_insert_lsn()::text AS "position"',
      );
      const position = row?.position ?? '';
      expect(await isFlushed(connection, position)).toBe(false);
      await askForFlush(connection);
      await vi.waitFor(async () => expect(await isFlushed(connection, position)).toBe(true), 3000);
    },
    { timeout: 9000 },
  );
});

test('I 15: a snapshot counts only once what it shows is on the source’s disk', async () => {
  await using lazy = await testServer(17, { wal_writer_delay: '10s' });
  const url = await newDatabase(lazy);
  await using folder = await temporaryFolder();
  await sql(url, 'CREATE TABLE t (id int); CHECKPOINT');
  await using connection = await session(url);
  await connection.execute("SET synchronous_commit = 'off'");
  const running = start(['snapshot', '--url', url, '--repository', folder.path], {
    env: { TIDEMARK_FAILPOINTS: 'snapshot.locked=sleep:1000' },
  });
  await reached(running, 'snapshot.locked');
  await connection.execute('INSERT INTO t SELECT generate_series(1, 1000)');
  expect((await running).exitCode).toBe(0);
  const snapshots = join(folder.path, 'sources/main/snapshots');
  const [id = ''] = readdirSync(snapshots);
  const manifest = JSON.parse(readFileSync(join(snapshots, id, 'manifest.json'), 'utf8')) as {
    tie: { upper: string };
  };
  expect(await isFlushed(connection, manifest.tie.upper)).toBe(true);
});

test('I 48: what a restore would not bring back is told, each by its name', async () => {
  const source = await newDatabase(server);
  await sql(
    source,
    `CREATE TABLE kept (id int PRIMARY KEY); CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY);
     CREATE TABLE keyless (v int); CREATE MATERIALIZED VIEW seen AS SELECT 1 AS n; CREATE EXTENSION postgres_fdw;
     CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE far (id int) SERVER elsewhere;
     SELECT lo_from_bytea(0, 'large')`,
  );
  await using folder = await temporaryFolder();
  const common = ['--repository', folder.path];
  const said = await tidemark(['snapshot', '--url', source, ...common, '--no-large-objects']);
  expect(said.exitCode).toBe(0);
  const told = {
    'unlogged-table': ['public.fleeting'],
    'foreign-table': ['public.far'],
    'materialized-view': ['public.seen'],
    'no-identity': ['public.keyless'],
    'large-objects-excluded': [],
    'role-passwords': [],
  };
  const shown = await tidemarkJson(['show', 'latest', ...common]);
  const { coverage } = shown['manifest'] as { coverage: { kind: string; objects: string[] }[] };
  expect(Object.fromEntries(coverage.map(({ kind, objects }) => [kind, objects]))).toEqual(told);
  const text = await tidemark(['show', 'latest', ...common]);
  for (const word of Object.entries(told).flat(2)) expect(text.stdout).toContain(word);
  // At once, too, where it would be missed: views are made again, and keys concern changes alone.
  for (const word of ['public.fleeting', 'public.far', 'large objects', 'passwords'])
    expect(said.stderr).toContain(word);
  const target = absentDatabase(server);
  const restored = await tidemark(['restore', ...common, '--target', target, '--create']);
  expect(restored.exitCode).toBe(0);
  for (const word of ['public.fleeting', 'public.far', 'large objects', 'passwords'])
    expect(restored.stdout).toContain(word);
});
