import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import {
  absentDatabase,
  newDatabase,
  rows,
  sampleDatabase,
  sql,
  stockDump,
  testServer,
} from '../support/postgres.ts';
import { start, temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

let server: ThrowawayServer;
let source: string;
beforeAll(async () => {
  server = await testServer(15);
  source = await sampleDatabase(server, 0.1);
}, 120_000);
afterAll(() => server[Symbol.asyncDispose]());

const files = (path: string): string[] => {
  const entries = readdirSync(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1));
};
const ownSessions = () =>
  rows(
    server.url(),
    "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'tidemark snapshot%' OR application_name LIKE 'tidemark restore%'",
  );
const copying = async (): Promise<boolean> =>
  (
    await rows(
      server.url(),
      "SELECT FROM pg_stat_activity WHERE application_name = 'tidemark snapshot' AND query LIKE 'COPY%' AND state = 'active'",
    )
  ).length > 0;

test.for(['SIGINT', 'SIGTERM'] as const)(
  '%s during a snapshot: no manifest, nothing left, exit 130',
  async (name) => {
    await using folder = await temporaryFolder();
    const snapshot = start([
      'snapshot',
      '--url',
      source,
      '--repository',
      folder.path,
      '--jobs',
      '1',
      '--compression',
      'gzip',
    ]);
    await until(copying);
    snapshot.kill(name);
    expect((await snapshot).exitCode).toBe(130);
    expect(files(folder.path).sort()).toEqual(['repository.json', 'sources/main/source.json']);
    await until(async () => (await ownSessions()).length === 0);
  },
);

test('kill -9 during a snapshot: it does not count, the server is free, the next one works', async () => {
  await using folder = await temporaryFolder();
  const common = ['--url', source, '--repository', folder.path];
  const snapshot = start(['snapshot', ...common, '--jobs', '1', '--compression', 'gzip']);
  await until(copying);
  snapshot.kill('SIGKILL');
  await snapshot;
  expect(files(folder.path).filter((name) => name.endsWith('manifest.json'))).toEqual([]);
  await until(async () => (await ownSessions()).length === 0);
  expect(((await tidemarkJson(['list', ...common])) as { snapshots: unknown[] }).snapshots).toEqual([]);
  await tidemarkJson(['snapshot', ...common]);
  await tidemarkJson(['verify', ...common]);
});

test('I 46: a restore killed again and again goes on and ends equal', async () => {
  await using folder = await temporaryFolder();
  const common = ['--url', source, '--repository', folder.path];
  await tidemarkJson(['snapshot', ...common]);
  const target = absentDatabase(server);
  const restore = ['restore', ...common, '--target', target, '--create', '--jobs', '2'];
  let killed = 0;
  for (const delayMs of [250, 400, 600, 800, 1100, 1400]) {
    const running = start(restore);
    const timer = setTimeout(() => running.kill('SIGKILL'), delayMs);
    const { exitCode } = await running;
    clearTimeout(timer);
    if (exitCode === 0) break;
    killed += 1;
    await until(async () => (await ownSessions()).length === 0);
  }
  expect(killed).toBeGreaterThan(2);
  const last = await tidemark(restore);
  expect(last.stderr).not.toContain('error');
  expect([0, 4]).toContain(last.exitCode);
  expect(await stockDump(target, 15)).toBe(await stockDump(source, 15));
  expect(await rows(target, "SELECT FROM pg_namespace WHERE nspname = 'tidemark_restore'")).toEqual([]);
});

test('another restore into a half restored target is refused', async () => {
  await using folder = await temporaryFolder();
  const common = ['--url', source, '--repository', folder.path];
  await tidemarkJson(['snapshot', ...common]);
  const target = absentDatabase(server);
  const running = start(['restore', ...common, '--target', target, '--create', '--jobs', '1']);
  await until(async () => {
    try {
      return (await rows(target, 'SELECT FROM tidemark_restore.progress')).length > 0;
    } catch {
      return false;
    }
  });
  running.kill('SIGKILL');
  await running;
  const other = await tidemark(['restore', ...common, '--target', target, '--schema-only']);
  expect(other.stderr).toContain('target.half_done');
  expect(other.exitCode).toBe(4);
});

test('the server crashes during a snapshot: source.lost, nothing left', async () => {
  await using crashing = await testServer(15);
  const url = await newDatabase(crashing);
  await sql(
    url,
    'CREATE TABLE t AS SELECT n, repeat(md5(n::text), 30) AS v FROM generate_series(1, 300000) n',
  );
  await using folder = await temporaryFolder();
  const snapshot = start([
    'snapshot',
    '--url',
    url,
    '--repository',
    folder.path,
    '--jobs',
    '1',
    '--compression',
    'gzip',
  ]);
  await until(() => files(folder.path).some((name) => /snapshots.*\.tidemark-writing-/.test(name)));
  await crashing.stop('immediate');
  const { exitCode, stderr } = await snapshot;
  expect(stderr).toMatch(/source\.lost|source\.unreachable|tool\.failed/);
  expect([1, 6]).toContain(exitCode);
  expect(files(folder.path).sort()).toEqual(['repository.json', 'sources/main/source.json']);
});

test('the disk of the repository is full: named, nothing left', async () => {
  await using folder = await temporaryFolder();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder.path]);
  try {
    const { exitCode, stderr } = await tidemark(['snapshot', '--url', source, '--repository', folder.path]);
    expect(stderr).toContain('repository.full');
    expect(exitCode).toBe(8);
    expect(files(folder.path).sort()).toEqual(['repository.json', 'sources/main/source.json']);
  } finally {
    execFileSync('umount', [folder.path]);
  }
});

test('the disk of staging is full: named, and no plaintext is left', async () => {
  await using folder = await temporaryFolder();
  await using staging = await temporaryFolder();
  const common = ['--url', source, '--repository', folder.path];
  const dump = ['snapshot', ...common, '--engine', 'pg_dump', '--staging'];
  await tidemarkJson([...dump, tmpdir()]);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', staging.path]);
  try {
    const restore = ['restore', ...common, '--target', absentDatabase(server), '--create'];
    for (const command of [
      [...dump, staging.path],
      [...restore, '--staging', staging.path],
    ]) {
      const { exitCode, stderr } = await tidemark(command);
      expect(stderr).toContain('staging.space');
      expect(exitCode).toBe(2);
      expect(files(staging.path)).toEqual([]);
    }
  } finally {
    execFileSync('umount', [staging.path]);
  }
});

test('two snapshots at once are two snapshots', async () => {
  await using folder = await temporaryFolder();
  const common = ['--url', source, '--repository', folder.path];
  await Promise.all([tidemarkJson(['snapshot', ...common]), tidemarkJson(['snapshot', ...common])]);
  const { snapshots } = (await tidemarkJson(['list', ...common])) as { snapshots: unknown[] };
  expect(snapshots).toHaveLength(2);
  expect((await tidemark(['verify', ...common, '--deep'])).exitCode).toBe(0);
});
