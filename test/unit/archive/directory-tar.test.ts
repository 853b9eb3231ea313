import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pack } from 'tar-stream';
import type { Header } from 'tar-stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { packDirectory, unpackDirectory } from '../../../src/archive/directory-tar.ts';

let folder = '';
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), 'tidemark-unit-'))));
afterEach(() => rm(folder, { recursive: true }));

type Entry = Partial<Header> & Pick<Header, 'name'>;

const MODIFIED = new Date('2026-11-23T10:00:00Z');

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* stream(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
}

function hostile(headers: readonly Entry[]): Promise<Buffer> {
  const tar = pack();
  for (const header of headers) tar.entry(header, 'x'.repeat(header.size ?? 1));
  tar.finalize();
  return collect(tar as AsyncIterable<Uint8Array>);
}

test('a folder comes back as it was, its contents first', async () => {
  const from = join(folder, 'from');
  await mkdir(from);
  const files = {
    '4711.dat.gz': 'rows',
    'blobs_17.toc': '',
    'toc.dat': 'contents',
    big: 'b'.repeat(300_000),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(from, name), text);
  const bytes = await collect(packDirectory(from, { modified: MODIFIED }));
  expect(bytes.subarray(0, 7).toString()).toBe('toc.dat');
  await unpackDirectory(stream(bytes), join(folder, 'to'), { maxBytes: bytes.length });
  expect((await readdir(join(folder, 'to'))).sort()).toEqual(Object.keys(files).sort());
  for (const [name, text] of Object.entries(files))
    expect(await readFile(join(folder, 'to', name), 'utf8')).toBe(text);
  await unpackDirectory(stream(bytes), join(folder, 'only'), { maxBytes: bytes.length, only: 'contents' });
  expect(await readdir(join(folder, 'only'))).toEqual(['toc.dat']);
});

test.each<[string, Entry[]]>([
  ['a path', [{ name: 'toc.dat' }, { name: '../escaped' }]],
  ['an absolute path', [{ name: '/tmp/escaped' }]],
  ['a folder', [{ name: 'toc.dat' }, { name: 'inner', type: 'directory', size: 0 }]],
  ['a link', [{ name: 'toc.dat' }, { name: 'link', type: 'symlink', linkname: '/etc/passwd', size: 0 }]],
  ['a hidden file', [{ name: '.ssh' }]],
  ['a name twice', [{ name: 'toc.dat' }, { name: 'toc.dat' }]],
  ['more than it may', [{ name: 'toc.dat', size: 5000 }]],
  ['nothing', []],
  ['no contents', [{ name: '4711.dat' }]],
])('an archive with %s is refused and nothing leaves its folder', async (_, headers) => {
  const bytes = await hostile(headers);
  await expect(unpackDirectory(stream(bytes), join(folder, 'to'), { maxBytes: 4096 })).rejects.toMatchObject({
    code: 'integrity.format',
  });
  expect(await readdir(folder)).toEqual(['to']);
});

test('an archive that ends early is no archive', async () => {
  const bytes = await hostile([{ name: 'toc.dat', size: 3000 }]);
  await expect(
    unpackDirectory(stream(bytes.subarray(0, 2000)), join(folder, 'to'), { maxBytes: 4096 }),
  ).rejects.toMatchObject({ code: 'integrity.truncated' });
});
