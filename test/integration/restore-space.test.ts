import { execFileSync } from 'node:child_process';
import { statfsSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { absentDatabase, PG_BIN, rows, sampleDatabase, sql, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

const MB = 1_000_000;
const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
let life: AsyncDisposableStack;
/** A server whose whole data directory lies on a small file system. */
let small: ThrowawayServer;
let volume: string;
let common: string[];

beforeAll(async () => {
  life = new AsyncDisposableStack();
  const source = life.use(await testServer(17));
  const repository = life.use(await temporaryFolder());
  common = ['--url', await sampleDatabase(source, 0.05), '--repository', repository.path];
  await tidemarkJson(['snapshot', ...common]);
  volume = life.use(await temporaryFolder()).path;
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=600m,mode=755', 'tmpfs', volume]);
  life.defer(() => void execFileSync('umount', [volume]));
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = volume;
  try {
    small = life.use(await testServer(17, { max_wal_size: '32MB', min_wal_size: '32MB' }));
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  }
});
afterAll(() => life.disposeAsync());

/** Fills the file system until so much is free. */
async function leaveFree(bytes: number): Promise<AsyncDisposable> {
  const { bavail, bsize } = statfsSync(volume);
  const file = join(volume, 'filler');
  writeFileSync(file, Buffer.alloc(bavail * bsize - bytes));
  return { [Symbol.asyncDispose]: () => rm(file) };
}

const databases = async (): Promise<unknown[]> =>
  rows(small.url(), 'SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles ORDER BY 1');

test('too little space is refused with numbers, before a database or a role is made', async () => {
  await using _ = await leaveFree(20 * MB);
  const before = await databases();
  const restore = ['restore', ...common, '--target', absentDatabase(small), '--create', '--globals'];
  const { exitCode, stderr } = await tidemark(restore);
  expect(stderr).toMatch(
    /the target has (1\d|20)\.\d MB free at .*base, the restore needs about \d+(\.\d)? MB there: tables \d+(\.\d)? MB, indexes \d+(\.\d)? MB, large objects .* KB, WAL 33\.6 MB/,
  );
  expect(stderr).toContain('target.space');
  expect(exitCode).toBe(4);
  const plan = await tidemark([...restore, '--dry-run']);
  expect(plan.stdout).toMatch(/BLOCKER: the target has .* free at/);
  expect(plan.exitCode).toBe(3);
  expect(await databases()).toEqual(before);
});

test('rows into tables that exist, too; nothing is touched', async () => {
  await sql(small.url(), 'CREATE ROLE sample_app');
  const target = absentDatabase(small);
  await tidemarkJson([
    'restore',
    ...common,
    '--target',
    target,
    '--create',
    '--schema-only',
    '--no-owner',
    '--no-privileges',
  ]);
  await using _ = await leaveFree(20 * MB);
  const { exitCode, stderr } = await tidemark(['restore', ...common, '--target', target, '--data-only']);
  expect(stderr).toContain('target.space');
  expect(exitCode).toBe(4);
  expect(await rows(target, 'SELECT FROM market.users')).toEqual([]);
});

test('where there is room it is taken, and no more than was said', async () => {
  const target = absentDatabase(small);
  const restore = ['restore', ...common, '--target', target, '--create', '--no-owner', '--no-privileges'];
  const { plan } = (await tidemarkJson([...restore, '--dry-run'])) as { plan: { space: string } };
  const said = /tables (\d+(?:\.\d)?) MB, indexes (\d+(?:\.\d)?) MB/.exec(plan.space);
  expect(plan.space).toContain(volume);
  await tidemarkJson(restore);
  const [taken] = await rows<{ mb: number }>(
    target,
    "SELECT (sum(pg_total_relation_size(oid)) / 1000000)::int AS mb FROM pg_class WHERE relkind = 'r' AND oid >= 16384",
  );
  const expected = Number(said?.[1]) + Number(said?.[2]);
  expect(taken?.mb).toBeGreaterThan(0.7 * expected);
  expect(taken?.mb).toBeLessThan(expected);

  // What is dropped before gives its room back.
  await using _ = await leaveFree(45 * MB);
  await tidemarkJson([...restore, '--clean', '--yes']);
});

test('a tablespace elsewhere is where the room must be', async () => {
  await using elsewhere = await temporaryFolder();
  const location = join(elsewhere.path, 'tables');
  await chmod(elsewhere.path, 0o755);
  await mkdir(location);
  const owner = execFileSync('stat', ['-c', '%u:%g', small.dataDirectory], { encoding: 'utf8' }).trim();
  execFileSync('chown', [owner, location]);
  await sql(small.url(), `CREATE TABLESPACE roomy LOCATION '${location}'`);
  await sql(small.url(), 'CREATE DATABASE in_roomy TEMPLATE template0 TABLESPACE roomy');
  await using _ = await leaveFree(45 * MB);
  const restore = ['restore', ...common, '--no-owner', '--no-privileges'];
  const cramped = await tidemark([...restore, '--target', absentDatabase(small), '--create']);
  expect(cramped.stderr).toContain('target.space');
  const { plan } = (await tidemarkJson([...restore, '--target', small.url('in_roomy'), '--dry-run'])) as {
    plan: { space: string };
  };
  expect(plan.space).toMatch(/free at .*pg_tblspc\/\d+ \(tables .*, and 33\.6 MB of .*pg_wal \(WAL/);
  await tidemarkJson([...restore, '--target', small.url('in_roomy')]);
  await sql(small.url(), 'DROP DATABASE in_roomy');
  await sql(small.url(), 'DROP TABLESPACE roomy');
});

test('what only looks like the server’s directory, or is hidden, refuses nothing and is said', async () => {
  const target = small.url('postgres');
  const args = ['restore', ...common, '--target', target, '--no-owner', '--no-privileges', '--dry-run'];
  // The same path, seen by this process only, with another server's files: a container's path that exists here.
  const other = await testServer(17);
  await using _ = other;
  const data = small.dataDirectory;
  const run = await execa(
    'unshare',
    [
      '--mount',
      'sh',
      '-c',
      `mount -t tmpfs -o size=1m tmpfs '${data}' && mkdir '${data}/global' '${data}/base' '${data}/pg_wal' && cp '${other.dataDirectory}/global/pg_control' '${data}/global/' && sed 's/^${other.port}$/${small.port}/' '${other.dataDirectory}/postmaster.pid' > '${data}/postmaster.pid' && exec "$@"`,
      'sh',
      process.execPath,
      MAIN,
      ...args,
    ],
    { reject: false, extendEnv: false, env: { PATH: process.env['PATH'] ?? '', TIDEMARK_PG_BIN: PG_BIN } },
  );
  expect(run.stdout).toContain(
    'what is free there is not known: the server’s data directory is not on this machine',
  );
  expect(run.stdout).not.toContain('BLOCKER');

  await sql(
    small.url(),
    "CREATE ROLE modest LOGIN PASSWORD 'modest'; GRANT CREATE ON DATABASE postgres TO modest",
  );
  const modest = target.replace(/\/\/postgres:[^@]*@/, '//modest:modest@');
  expect((await tidemark(args.with(args.indexOf(target), modest))).stdout).toContain(
    'not known: the role may not read data_directory',
  );
});
