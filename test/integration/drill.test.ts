// A drill proves what is right, names what is wrong, and leaves nothing behind.
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, globSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DrillDocument } from '../../src/archive/drill-document.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { rows, sampleDatabase, sql, testServer } from '../support/postgres.ts';
import { start, temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

const MAJOR = 15;
let server: ThrowawayServer;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let source: string;
let common: string[];

function configured(name: string, more: Record<string, unknown> = {}): string[] {
  const path = join(folder.path, name);
  writeFileSync(path, JSON.stringify({ sources: { main: { url: source } }, ...more }));
  return ['-c', path, '--repository', join(folder.path, 'r')];
}

beforeAll(async () => {
  server = await testServer(MAJOR);
  folder = await temporaryFolder();
  source = await sampleDatabase(server);
  common = configured('plain.yaml');
  await tidemarkJson(['snapshot', '--witness', ...common]);
}, 120_000);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

interface Drilled {
  readonly exitCode: number | undefined;
  readonly drill: DrillDocument;
}

async function drilled(...args: string[]): Promise<Drilled> {
  const ran = await tidemark(['drill', '--json', ...args]);
  if (ran.stdout === '') throw new Error(ran.stderr);
  return { exitCode: ran.exitCode, drill: (JSON.parse(ran.stdout) as { drill: DrillDocument }).drill };
}

const outcomes = ({ drill }: Drilled): string[] =>
  drill.proofs.map(({ name, outcome }) => `${name} ${outcome}`);

/** Folders of throw-away servers that belong to a process. */
const serversOf = (pid: number | undefined): string[] =>
  globSync(join(tmpdir(), 'tidemark-server-*/holder')).filter(
    (file) => existsSync(file) && readFileSync(file, 'utf8') === String(pid),
  );

test('a backup with a witness is proved, with the user’s own checks, a page, a receipt and a history', async () => {
  const key = join(folder.path, 'key.pem');
  const pair = generateKeyPairSync('ed25519');
  writeFileSync(key, pair.privateKey.export({ format: 'pem', type: 'pkcs8' }));
  const drill = {
    checks: [{ name: 'users there', sql: 'SELECT count(*) FROM market.users', expect: '> 10' }],
    tables: { 'market.payments': 1 },
  };
  const checking = configured('checks.yaml', {
    drill,
    signing: { keyFile: key },
    objectives: { rto: '1ms' },
  });
  const [page, receipt] = [join(folder.path, 'report.html'), join(folder.path, 'receipt')];
  const ran = await drilled('--at', 'witness', '--html', page, '--receipt', receipt, ...checking);
  expect(ran).toMatchObject({
    exitCode: 0,
    drill: { verdict: 'proved', server: { kind: 'local', major: MAJOR } },
  });
  expect(outcomes(ran)).toEqual([
    'rows proved',
    'content proved',
    'foreign keys proved',
    'sequences proved',
    'indexes proved',
    'market.payments proved',
    'users there proved',
  ]);
  expect(ran.drill.phases.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['server', 'data', 'post-data', 'proofs']),
  );
  expect(ran.drill.rtoMilliseconds).toBeGreaterThan(1);
  expect(readFileSync(page, 'utf8')).toContain('BEYOND the objective of 1 ms');

  const publicKey = pair.publicKey.export({ format: 'pem', type: 'spki' }).toString();
  const trusting = configured('trust.yaml', { trust: [publicKey] });
  const checked = await tidemark(['drill', '--check-receipt', receipt, ...trusting]);
  expect(checked).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('proved') as string });
  writeFileSync(receipt, readFileSync(receipt, 'utf8').replace(ran.drill.id, 'another'));
  expect(await tidemark(['drill', '--check-receipt', receipt, ...trusting])).toMatchObject({ exitCode: 9 });
  expect((await tidemark(['drill', '--list', ...common])).stdout).toContain(ran.drill.id);
});

test('a typo is told at once, and is no drill that failed', async () => {
  const before = (await tidemark(['drill', '--list', ...common])).stdout;
  const ran = await tidemark(['drill', '--at', 'yesterday', ...common]);
  expect(ran).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('usage.invalid') as string });
  expect((await tidemark(['drill', '--list', ...common])).stdout).toBe(before);
});

test('a check that fails, and a table that is missing, are named: exit 9', async () => {
  const drill = {
    checks: [
      { name: 'nobody', sql: 'SELECT count(*) FROM market.users', expect: '= 0' },
      { name: 'writes', sql: 'DELETE FROM market.messages', expect: '= 0' },
    ],
    tables: { 'market.absent': 1 },
  };
  const ran = await drilled(...configured('bad.yaml', { drill }));
  expect(ran).toMatchObject({ exitCode: 9, drill: { verdict: 'disproved' } });
  expect(outcomes(ran)).toEqual(
    expect.arrayContaining([
      'nobody disproved',
      'writes disproved',
      'market.absent disproved',
      'content proved',
    ]),
  );
});

test('on a given server: its database is gone afterwards, and no other one', async () => {
  const databases = (): Promise<object[]> => rows(server.url(), 'SELECT datname FROM pg_database ORDER BY 1');
  await sql(server.url(), 'CREATE DATABASE drill');
  const before = await databases();
  const ran = await drilled('--server', server.url(), ...common);
  expect(ran).toMatchObject({ exitCode: 0, drill: { server: { kind: 'url', major: MAJOR } } });
  expect(await databases()).toEqual(before);
});

test('kill -9 in the middle: the server ends, and the next drill removes what it left', async () => {
  const env = { TIDEMARK_FAILPOINTS: 'restore.after-data=kill' };
  const running = start(['drill', ...common], { env });
  const { signal } = await running;
  expect(signal).toBe('SIGKILL');
  const [holder] = serversOf(running.pid);
  if (holder === undefined) throw new Error('no server was started');
  const data = join(holder, '../data');
  await until(() => !existsSync(join(data, 'postmaster.pid')));
  expect(await drilled(...common)).toMatchObject({ exitCode: 0 });
  expect(existsSync(data)).toBe(false);
});

test('rows that changed behind the witness’s back, and an altered byte, are found: exit 9', async () => {
  await using other = await temporaryFolder();
  const at = ['-c', join(folder.path, 'plain.yaml'), '--repository', join(other.path, 'r')];
  expect(await tidemark(['snapshot', ...at])).toMatchObject({ exitCode: 0 });
  const without = await drilled(...at);
  expect(without).toMatchObject({ exitCode: 3, drill: { verdict: 'partly' } });
  expect(outcomes(without)).toContain('content skipped');
  const [snapshot = ''] = readdirSync(join(other.path, 'r/sources/main/snapshots'));
  const archive = join(other.path, 'r/sources/main/snapshots', snapshot, 'data-0001.tar');
  const bytes = readFileSync(archive);
  const middle = Math.floor(bytes.length / 2);
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
  writeFileSync(archive, bytes);
  const broken = await drilled(...at);
  expect(broken).toMatchObject({
    exitCode: 9,
    drill: { verdict: 'disproved', failure: { code: expect.stringMatching(/^integrity\./) as string } },
  });
});
