import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { generateIdentity } from '../../src/archive/age.ts';
import type { Manifest } from '../../src/archive/manifest.ts';
import { chooseTools } from '../../src/postgres/tools.ts';
import { newDatabase, sampleDatabase, stockDump, testServer, tools } from '../support/postgres.ts';
import { temporaryFolder, tidemarkJson } from '../support/tidemark.ts';

const FORMAT = readFileSync(new URL('../../src/archive/FORMAT.md', import.meta.url), 'utf8');
const STEPS = /## Restore one table by hand[\s\S]*?```sh\n([\s\S]*?)```/.exec(FORMAT)?.[1] ?? '';

test.for([false, true])('P9: FORMAT.md’s own steps restore a table (encrypted: %s)', async (encrypted) => {
  expect(STEPS.split('\n').length).toBeGreaterThan(15);
  await using server = await testServer(16);
  await using folder = await temporaryFolder();
  const source = await sampleDatabase(server, 0.01);
  const keys = await generateIdentity();
  const identity = join(folder.path, 'identity.txt');
  writeFileSync(identity, `${keys.identity}\n`, { mode: 0o600 });
  const config = join(folder.path, 'tidemark.yaml');
  writeFileSync(config, encrypted ? `encryption: { recipients: [ ${keys.recipient} ] }\n` : '{}\n');
  const { manifest } = (await tidemarkJson([
    'snapshot',
    '-c',
    config,
    '--url',
    source,
    '--repository',
    folder.path,
  ])) as { manifest: Manifest };
  const snapshot = join(folder.path, 'copy');
  cpSync(join(folder.path, 'sources/main/snapshots', manifest.id), snapshot, { recursive: true });
  expect(readdirSync(snapshot).includes('schema.dump.age')).toBe(encrypted);
  const table = manifest.tables.find((entry) => entry.name === 'messages');
  const target = await newDatabase(server);
  const { directory } = chooseTools(await tools(), 16);
  execFileSync('sh', ['-eu', '-c', STEPS], {
    env: {
      PATH: `${directory}:${process.env['PATH']}`,
      SNAPSHOT: snapshot,
      IDENTITY: identity,
      TARGET: target,
      TABLE: 'market.messages',
      NUMBER: String(table?.number).padStart(5, '0'),
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const rows = ['--data-only', '-t', 'market.messages'];
  const expected = await stockDump(source, 16, rows);
  expect(Number(table?.rows)).toBe(15_000);
  expect((await stockDump(target, 16, rows)).replace(/SELECT pg_catalog.setval.*/, '')).toBe(
    expected.replace(/SELECT pg_catalog.setval.*/, ''),
  );
});
