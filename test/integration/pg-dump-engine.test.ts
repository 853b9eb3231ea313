import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Manifest } from '../../src/archive/manifest.ts';
import { generateIdentity } from '../../src/archive/age.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { absentDatabase, rows, sampleDatabase, stockDump, testServer } from '../support/postgres.ts';
import { start, temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

const MAJOR = 17;
let server: ThrowawayServer;
let source: string;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let encrypted: readonly string[];
let staging: string;

beforeAll(async () => {
  server = await testServer(MAJOR);
  source = await sampleDatabase(server, 0.01);
  folder = await temporaryFolder();
  const keys = await generateIdentity();
  writeFileSync(join(folder.path, 'identity.txt'), `${keys.identity}\n`);
  const config = join(folder.path, 'tidemark.yaml');
  writeFileSync(
    config,
    `encryption: { recipients: [ ${keys.recipient} ], identityFile: ${join(folder.path, 'identity.txt')} }\n`,
  );
  encrypted = ['-c', config];
  staging = mkdtempSync(join(folder.path, 'staging-'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

let repositories = 0;
async function dumped(args: readonly string[]): Promise<{ common: string[]; manifest: Manifest }> {
  const repository = join(folder.path, `repository-${(repositories += 1)}`);
  const common = ['--url', source, '--repository', repository];
  const { manifest } = (await tidemarkJson(['snapshot', ...common, '--engine', 'pg_dump', ...args])) as {
    manifest: Manifest;
  };
  return { common, manifest };
}

test.for([
  ['plain', () => []],
  ['encrypted', () => encrypted],
] as const)(
  '%s: several connections dump and restore by a staging folder, which is empty afterwards',
  async ([name, more]) => {
    const { common, manifest } = await dumped(['--staging', staging, '--jobs', '3', ...more()]);
    const stored = name === 'encrypted' ? 'full.tar.age' : 'full.tar';
    expect(manifest.parts.find((part) => part.role === 'full-directory')?.name).toBe(stored);
    expect(readdirSync(staging)).toEqual([]);
    await tidemarkJson(['verify', ...common, '--deep', ...more()]);

    const target = absentDatabase(server);
    const restore = ['restore', ...common, ...more(), '--target', target];
    const refused = await tidemark([...restore, '--create']);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain('staging.required');
    const plan = await tidemarkJson([...restore, '--create', '--staging', staging, '--dry-run']);
    expect(plan).toMatchObject({ plan: { tables: 25, blockers: [] } });
    await tidemarkJson([...restore, '--create', '--staging', staging, '--jobs', '3']);
    expect(readdirSync(staging)).toEqual([]);
    expect(await stockDump(target, MAJOR)).toBe(await stockDump(source, MAJOR));
  },
);

test.for([
  ['streamed', () => [], () => []],
  ['streamed, brought back by staging', () => [], () => ['--staging', staging]],
  ['by staging', () => ['--staging', staging], () => ['--staging', staging]],
] as const)('some tables of a dump come back as from engine copy: %s', async ([, snapshot, restore]) => {
  const { common } = await dumped(snapshot());
  const copied = ['--url', source, '--repository', join(folder.path, `copy-${(repositories += 1)}`)];
  await tidemarkJson(['snapshot', ...copied]);
  const scope = [
    '--create',
    '--table',
    'market.users',
    '--table',
    'market.payments',
    '--table',
    'market.analytics_events',
  ];
  const [mine, other] = [absentDatabase(server), absentDatabase(server)];
  const { report } = await tidemarkJson(['restore', ...common, ...restore(), '--target', mine, ...scope]);
  expect(report).toMatchObject({ rows: expect.stringMatching(/^[1-9]/) as unknown });
  await tidemarkJson(['restore', ...copied, '--target', other, ...scope]);
  expect(await stockDump(mine, MAJOR)).toBe(await stockDump(other, MAJOR));
  const schemaOnly = absentDatabase(server);
  await tidemarkJson(['restore', ...common, ...restore(), '--target', schemaOnly, ...scope, '--schema-only']);
  expect(await rows(schemaOnly, 'SELECT FROM market.users')).toEqual([]);
});

test('what can’t be: staging for engine copy, a folder that is none, cleaning for some tables', async () => {
  const { common } = await dumped([]);
  const foreign = await tidemark(['snapshot', ...common, '--staging', staging]);
  expect(foreign).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('usage.invalid') as unknown });
  const absent = await tidemark([
    'snapshot',
    ...common,
    '--engine',
    'pg_dump',
    '--staging',
    join(staging, 'no'),
  ]);
  expect(absent).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('staging.unusable') as unknown,
  });
  const target = absentDatabase(server);
  const restore = ['restore', ...common, '--target', target];
  await tidemarkJson([...restore, '--create']);
  const clean = await tidemark([...restore, '--clean', '--yes', '--table', 'market.users']);
  expect(clean).toMatchObject({
    exitCode: 4,
    stderr: expect.stringContaining('recovery.refused') as unknown,
  });
});

test('SIGTERM leaves no plaintext and no snapshot; kill -9 leaves a folder that doctor names', async () => {
  const repository = join(folder.path, 'stopped');
  const args = ['--url', source, '--repository', repository, '--engine', 'pg_dump', '--staging', staging];
  const stagingIsUsed = async (): Promise<void> => {
    while (readdirSync(staging).length === 0) await wait(5);
  };
  const stopped = start(['snapshot', ...args, '--jobs', '2']);
  await stagingIsUsed();
  stopped.kill('SIGTERM');
  expect((await stopped).exitCode).toBe(130);
  expect(readdirSync(staging)).toEqual([]);
  const killed = start(['snapshot', ...args, '--jobs', '2']);
  await stagingIsUsed();
  killed.kill('SIGKILL');
  await killed;
  const [left] = readdirSync(staging);
  expect(left).toMatch(/^tidemark-staging-/);
  const found = await tidemark(['doctor', '--url', source, '--repository', repository, '--staging', staging]);
  expect(found.stdout).toContain(left);
  expect((await tidemark(['list', '--repository', repository, '--json'])).stdout).not.toContain('"id"');
});

test('a restore by several connections that was killed is refused, then cleaned and done again', async () => {
  const { common } = await dumped(['--staging', staging]);
  const target = absentDatabase(server);
  const restore = ['restore', ...common, '--target', target, '--staging', staging];
  const child = start([...restore, '--create', '--jobs', '2']);
  for (let made = false; !made;) {
    await wait(10);
    made = await rows(target, "SELECT FROM pg_class WHERE relname = 'messages'").then(
      (found) => found.length > 0,
      () => false,
    );
  }
  child.kill('SIGKILL');
  await child;
  // pg_restore's connections end when they next speak to it.
  await wait(1000);
  const again = await tidemark(restore);
  expect(again).toMatchObject({
    exitCode: 4,
    stderr: expect.stringContaining('target.half_done') as unknown,
  });
  await tidemarkJson([...restore, '--clean', '--yes']);
  expect(await stockDump(target, MAJOR)).toBe(await stockDump(source, MAJOR));
});
