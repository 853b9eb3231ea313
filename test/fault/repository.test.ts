import {
  copyFileSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { absentDatabase, sampleDatabase, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

let server: ThrowawayServer;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let common: string[];
let objects: string[];
beforeAll(async () => {
  server = await testServer(15);
  folder = await temporaryFolder();
  common = ['--url', await sampleDatabase(server), '--repository', folder.path];
  await tidemarkJson(['snapshot', ...common]);
  const entries = readdirSync(folder.path, { recursive: true, withFileTypes: true });
  objects = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => path.includes('/snapshots/') && !path.endsWith('manifest.json'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** Does something to a file, looks, and puts it back. */
async function damaged(path: string, damage: () => void, look: () => Promise<void>): Promise<void> {
  copyFileSync(path, `${folder.path}.kept`);
  try {
    damage();
    await look();
  } finally {
    renameSync(`${folder.path}.kept`, path);
  }
}

const flip = (path: string): void => {
  const bytes = readFileSync(path);
  const at = Math.trunc(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
};

test('the repository as it is verifies', async () => {
  expect(objects.length).toBeGreaterThan(5);
  expect((await tidemark(['verify', ...common, '--deep'])).exitCode).toBe(0);
});

test.for(['flipped', 'cut', 'missing'] as const)(
  'I 44: any object %s is found and named, and not restored',
  { timeout: 240_000 },
  async (how) => {
    for (const path of objects) {
      const name = path.slice(path.lastIndexOf('/') + 1);
      const damage = {
        flipped: () => flip(path),
        cut: () => truncateSync(path, Math.trunc(statSync(path).size / 2)),
        missing: () => rmSync(path),
      }[how];
      await damaged(path, damage, async () => {
        const verified = await tidemark(['verify', ...common]);
        expect(verified.stdout).toContain(name.replace('.members.jsonl.zst', ''));
        expect(verified.exitCode).toBe(9);
        if (!/^(data|schema)/.test(name)) return;
        const target = absentDatabase(server);
        const restored = await tidemark(['restore', ...common, '--target', target, '--create']);
        expect({ name, how, exitCode: restored.exitCode }).toEqual({ name, how, exitCode: 9 });
      });
    }
  },
);

test('a manifest cut short, one of another snapshot, and a newer format are refused', async () => {
  const manifest = join(objects[0] ?? '', '..', 'manifest.json');
  await damaged(
    manifest,
    () => truncateSync(manifest, 1000),
    async () => {
      const ran = await tidemark(['list', ...common]);
      expect(ran.stderr).toContain('integrity.format');
      expect(ran.exitCode).toBe(9);
    },
  );
  const change = (edit: (document: Record<string, unknown>) => void) => () => {
    const document = JSON.parse(readFileSync(manifest, 'utf8')) as Record<string, unknown>;
    edit(document);
    writeFileSync(manifest, JSON.stringify(document));
  };
  await damaged(
    manifest,
    change((document) => (document['id'] = '20200101T000000Z-aaaaaa')),
    async () => {
      expect((await tidemark(['list', ...common])).exitCode).toBe(9);
    },
  );
  await damaged(
    manifest,
    change((document) => (document['formatVersion'] = 2)),
    async () => {
      const ran = await tidemark(['list', ...common]);
      expect(ran.stderr).toContain('repository.newer_format');
      expect(ran.exitCode).toBe(8);
    },
  );
});

test('recipients swapped in the repository are refused', async () => {
  const path = join(folder.path, 'repository.json');
  const swap = (): void => {
    const document = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify({ ...document, recipientFingerprints: ['0'.repeat(64)] }));
  };
  await damaged(path, swap, async () => {
    const ran = await tidemark(['snapshot', ...common]);
    expect(ran.stderr).toContain('repository.recipients');
    expect(ran.exitCode).toBe(4);
  });
});

test('a lost repository.json is not made anew beside old snapshots', async () => {
  const path = join(folder.path, 'repository.json');
  await damaged(
    path,
    () => rmSync(path),
    async () => {
      expect((await tidemark(['snapshot', ...common])).exitCode).toBe(9);
    },
  );
});
