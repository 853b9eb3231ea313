import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createFolderStore } from '../../src/storage/folder.ts';
import type { OpenPut } from '../../src/storage/store.ts';
import { storeSuite } from './store-suite.ts';

const base = mkdtempSync(join(tmpdir(), 'tidemark-folder-'));
let folders = 0;
const fresh = () => Promise.resolve(createFolderStore({ root: join(base, String((folders += 1))) }));
afterAll(() => rmSync(base, { recursive: true }));

storeSuite(fresh);

test('objects and folders are private, and nothing temporary stays', async () => {
  const store = await fresh();
  await store.putIfAbsent('a/object', Buffer.from('x'), { signal: new AbortController().signal });
  expect(statSync(join(store.location, 'a/object')).mode & 0o777).toBe(0o600);
  expect(statSync(join(store.location, 'a')).mode & 0o777).toBe(0o700);
  expect(readdirSync(join(store.location, 'a'))).toEqual(['object']);
  chmodSync(store.location, 0o700);
});

test('files of others, and one that a crash left, are no objects', async () => {
  const store = await fresh();
  const { signal } = new AbortController();
  await store.putIfAbsent('a/object', Buffer.from('x'), { signal });
  for (const name of ['my notes.txt', '.tidemark-writing-left-by-a-crash'])
    writeFileSync(join(store.location, 'a', name), 'y');
  const keys = (await Array.fromAsync(store.list('', { signal }))).map((object) => object.key);
  expect(keys).toEqual(['a/object']);
});

test('what a crash left half written is told, and ended; an object is not', async () => {
  const store = await fresh();
  const { signal } = new AbortController();
  await store.putIfAbsent('a/object', Buffer.from('x'), { signal });
  writeFileSync(join(store.location, 'a', '.tidemark-writing-left-by-a-crash'), 'y');
  const open = (): Promise<OpenPut[]> => Array.fromAsync(store.openPuts('a/', { signal }));
  const [left] = await open();
  expect(left).toMatchObject({ key: 'a/.tidemark-writing-left-by-a-crash' });
  expect(Date.now() - (left?.since.getTime() ?? 0)).toBeLessThan(60_000);
  await store.abandon({ key: 'a/object', id: '', since: new Date() }, { signal });
  if (left !== undefined) await store.abandon(left, { signal });
  expect(await open()).toEqual([]);
  expect(readdirSync(join(store.location, 'a'))).toEqual(['object']);
});
