import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { absentDatabase, sampleDatabase, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

interface Traffic {
  readonly requests: Readonly<Record<string, number>>;
  readonly retries: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

let server: ThrowawayServer;
let source: string;
beforeAll(async () => {
  server = await testServer(17);
  source = await sampleDatabase(server, 0.01);
});
afterAll(() => server[Symbol.asyncDispose]());

/** Size of every stored file, by its name. */
function storedFiles(root: string): number[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => statSync(join(entry.parentPath, entry.name)).size);
}

test('traffic says what went: every byte that is stored was sent, every byte that is verified was received', async () => {
  await using folder = await temporaryFolder();
  const common = ['--url', source, '--repository', join(folder.path, 'r')];
  const { traffic } = (await tidemarkJson(['snapshot', ...common], {})) as { traffic: Traffic };
  const files = storedFiles(join(folder.path, 'r'));
  expect(files.length).toBeGreaterThan(5);
  expect(traffic).toMatchObject({ retries: 0, requests: { put: files.length, delete: 0 } });
  expect(traffic.sentBytes).toBe(files.reduce((sum, size) => sum + size, 0));
  const { traffic: read, reports } = (await tidemarkJson(['verify', ...common])) as {
    traffic: Traffic;
    reports: { bytes: number }[];
  };
  expect(read.sentBytes).toBe(0);
  expect(read.receivedBytes).toBeGreaterThanOrEqual(reports[0]!.bytes);
  const human = await tidemark(['restore', ...common, '--target', absentDatabase(server), '--create']);
  // Its lease is all that a restore sends.
  expect(human.stdout).toMatch(
    /\n {2}traffic: [\d.]+ K?B sent, \d.* received, \d+ requests \((?:[^\n]*, )?\d+ get, [^\n]*\)$/,
  );
});

test('a snapshot keeps to the repository’s limit with all its connections, a restore to the command line’s', async () => {
  await using folder = await temporaryFolder();
  const config = join(folder.path, 'tidemark.yaml');
  writeFileSync(config, 'repositories: { r: { url: ./r, limits: { upload: 1MB/s, download: 50MB/s } } }\n');
  const common = ['-c', config, '--url', source];
  const timed = async (args: readonly string[]): Promise<{ seconds: number; traffic: Traffic }> => {
    const started = performance.now();
    const { traffic } = (await tidemarkJson([...args, ...common], { cwd: folder.path })) as {
      traffic: Traffic;
    };
    return { seconds: (performance.now() - started) / 1000, traffic };
  };
  const up = await timed(['snapshot', '--jobs', '4']);
  expect(up.traffic.sentBytes).toBeGreaterThan(2_000_000);
  expect(up.seconds).toBeGreaterThan(up.traffic.sentBytes / 1_000_000 - 0.2);
  const target = ['--target', absentDatabase(server), '--create', '--jobs', '4'];
  const down = await timed(['restore', ...target, '--limit-download', '500KB/s']);
  expect(down.traffic.receivedBytes).toBeGreaterThan(2_000_000);
  expect(down.seconds).toBeGreaterThan(down.traffic.receivedBytes / 500_000 - 0.2);
});

test.for([
  [['--limit-upload', '5000'], 'takes a rate like 20MB/s'],
  [['--limit-upload', '50KB/s'], 'at least 100KB/s'],
] as const)('%j is refused: other tools mean other units', async ([args, message]) => {
  const ran = await tidemark(['snapshot', '--repository', './r', ...args]);
  expect(ran).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(message) as string });
});
