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
import type { Member } from '../../src/archive/manifest.ts';
import { decodeMemberList } from '../../src/archive/member-list.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { absentDatabase, sampleDatabase, stockDump, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

let server: ThrowawayServer;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let source: string;
let common: string[];
let objects: string[];
beforeAll(async () => {
  server = await testServer(15);
  folder = await temporaryFolder();
  source = await sampleDatabase(server);
  common = ['--url', source, '--repository', folder.path];
  // One worker lays the same tables into the same archives every time.
  await tidemarkJson(['snapshot', ...common, '--jobs', '1', '--archive-size', '250KB']);
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

const flip = (path: string, at: number): void => {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
};

/** The member with the most rows' bytes of an archive: a restore reads it. */
async function largestMember(archive: string): Promise<Member> {
  const members = await decodeMemberList(readFileSync(archive.replace(/\.tar$/, '.members.jsonl.zst')));
  const [largest] = members.sort((a, b) => b.copyBytes - a.copyBytes);
  expect(largest?.copyBytes).toBeGreaterThan(0);
  return largest!;
}

/** A byte that a restore needs: in the content of a member, not in what tar puts around it. */
async function needed(path: string): Promise<number> {
  if (!path.endsWith('.tar')) return Math.trunc(statSync(path).size / 2);
  const { offset, sizeBytes } = await largestMember(path);
  return offset + Math.trunc(sizeBytes / 2);
}

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
      const at = await needed(path);
      const damage = {
        flipped: () => flip(path, at),
        cut: () => truncateSync(path, at),
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

test.for(['header', 'padding'] as const)(
  'I 44: a byte of a tar %s flipped: verify names the archive, a restore reads members and brings equal data',
  async (where) => {
    const archive = objects.find((path) => path.endsWith('data-0001.tar')) ?? '';
    const { offset, sizeBytes } = await largestMember(archive);
    expect(sizeBytes % 512).toBeGreaterThan(0);
    const at = where === 'header' ? offset - 500 : offset + sizeBytes;
    await damaged(
      archive,
      () => flip(archive, at),
      async () => {
        const verified = await tidemark(['verify', ...common]);
        expect(verified.stdout).toContain('data-0001.tar');
        expect(verified.exitCode).toBe(9);
        const target = absentDatabase(server);
        await tidemarkJson(['restore', ...common, '--target', target, '--create']);
        expect(await stockDump(target, 15)).toBe(await stockDump(source, 15));
      },
    );
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
