import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodePart, encodePart } from '../../../src/archive/codec.ts';
import { lend } from '../../../src/archive/external-memory.ts';
import { sha256Hex } from '../../../src/archive/digest.ts';
import type { Member } from '../../../src/archive/manifest.ts';
import { decodeMemberList, encodeMemberList } from '../../../src/archive/member-list.ts';
import { memberName, parseMemberName } from '../../../src/archive/member-name.ts';
import { TarWriter } from '../../../src/archive/tar-writer.ts';

const CODECS = ['zstd', 'gzip', 'none'] as const;
const plainCodec = (compression: (typeof CODECS)[number]) => ({
  compression,
  sealer: undefined,
  opener: undefined,
});

test.for(CODECS)('%s: parts come back, and only with the size they had', async (compression) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), async (bytes) => {
      const stored = await encodePart(bytes, plainCodec(compression));
      const how = { ...plainCodec(compression), copyBytes: bytes.length };
      expect((await decodePart(stored, how)).equals(bytes)).toBe(true);
      await expect(decodePart(stored, { ...how, copyBytes: bytes.length + 1 })).rejects.toMatchObject({
        code: 'integrity.format',
      });
      if (bytes.length > 0)
        await expect(decodePart(stored, { ...how, copyBytes: bytes.length - 1 })).rejects.toMatchObject({
          code: 'integrity.format',
        });
    }),
  );
});

test.for(['zstd', 'gzip'] as const)(
  '%s: any flipped or cut byte is an integrity failure',
  async (compression) => {
    const bytes = Buffer.from('one row\tof text\n'.repeat(500));
    const stored = await encodePart(bytes, plainCodec(compression));
    const how = { ...plainCodec(compression), copyBytes: bytes.length };
    let refused = 0;
    for (let at = 0; at < stored.length; at += 1) {
      const changed = Buffer.from(stored);
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      // A bit of gzip's header (time, system) means nothing: then the bytes must still be right.
      const same = await decodePart(changed, how).then(
        (out) => out.equals(bytes),
        (error: { code: string }) => {
          expect(error.code).toMatch(/^integrity\./);
          refused += 1;
          return true;
        },
      );
      expect(same).toBe(true);
      if (at > 0)
        await expect(decodePart(stored.subarray(0, at), how)).rejects.toMatchObject({
          code: expect.stringMatching(/^integrity\./),
        });
    }
    expect(refused).toBeGreaterThan(stored.length / 2);
  },
);

test.for(['zstd', 'gzip'] as const)('%s: a bomb is not blown up', async (compression) => {
  const bomb = await encodePart(Buffer.alloc(64 * 1024 * 1024), plainCodec(compression));
  const before = process.memoryUsage().rss;
  await expect(decodePart(bomb, { ...plainCodec(compression), copyBytes: 1000 })).rejects.toMatchObject({
    code: 'integrity.format',
  });
  expect(process.memoryUsage().rss - before).toBeLessThan(32 * 1024 * 1024);
});

test('member names are harmless for any table, in order, and read back', () => {
  const number = fc.nat(99_999);
  fc.assert(
    fc.property(fc.string(), fc.string(), number, number, number, (schema, name, table, range, part) => {
      const made = memberName({
        table,
        schema,
        name,
        range,
        part: part % 10_000,
        compression: 'zstd',
        encrypted: true,
      });
      expect(made).toMatch(/^data\/[a-z0-9_-]+\/[0-9.]+\.copy\.zst\.age$/);
      expect(made.length).toBeLessThan(100);
      expect(parseMemberName(made)).toEqual({ table, range, part: part % 10_000 });
    }),
  );
  for (const hostile of [
    'data/../../etc/passwd',
    '/data/00001-a/000000.0000.copy',
    'data/00001-a/../x.copy',
    'data/1-a/0.0.copy',
  ]) {
    expect(parseMemberName(hostile)).toBeUndefined();
  }
});

const member = (index: number, change: Partial<Member> = {}): Member => ({
  name: memberName({
    table: 1,
    schema: 's',
    name: 't',
    range: index,
    part: 0,
    compression: 'zstd',
    encrypted: false,
  }),
  offset: 512 + index * 1024,
  sizeBytes: 100,
  sha256: sha256Hex(Buffer.from(String(index))),
  table: 1,
  range: index,
  part: 0,
  copyBytes: 300,
  rows: '7',
  ...change,
});

test('a member list comes back; one that lies is refused', async () => {
  const list = [member(0), member(1), member(2)];
  expect(await decodeMemberList(await encodeMemberList(list))).toEqual(list);
  const lies: Partial<Member>[] = [
    { offset: 600 },
    { table: 2 },
    { name: '../../etc/passwd' },
    { sizeBytes: -1 },
    { sha256: 'x' },
    { rows: '-1' },
  ];
  for (const lie of lies) {
    const bytes = await encodeMemberList([member(0), member(1, lie)]);
    await expect(decodeMemberList(bytes)).rejects.toMatchObject({
      code: 'integrity.format',
    });
  }
  const whole = await encodeMemberList(list);
  for (let length = 0; length < whole.length; length += 7) {
    await expect(decodeMemberList(whole.subarray(0, length))).rejects.toMatchObject({
      code: expect.stringMatching(/^integrity\./),
    });
  }
});

test('tar reads what the writer wrote, at the offsets that it told', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-tar-'));
  try {
    const writer = new TarWriter({ modified: new Date('2026-11-24T00:00:00Z') });
    const archive = Array.fromAsync(writer.body, (chunk) => Buffer.from(chunk));
    const contents = [0, 1, 511, 512, 513, 3_000_000].map((size) => Buffer.alloc(size, size % 251));
    const offsets: number[] = [];
    for (const [index, content] of contents.entries()) {
      offsets.push((await writer.add(`data/00001-t/00000${index}.0000.copy`, Buffer.from(content))).offset);
    }
    const { sizeBytes } = await writer.finish();
    const bytes = Buffer.concat(await archive);
    expect(bytes.length).toBe(sizeBytes);
    for (const [index, content] of contents.entries()) {
      expect(bytes.subarray(offsets[index], (offsets[index] ?? 0) + content.length).equals(content)).toBe(
        true,
      );
    }
    writeFileSync(join(folder, 'a.tar'), bytes);
    execFileSync('tar', ['xf', 'a.tar'], { cwd: folder });
    expect(
      readFileSync(join(folder, 'data/00001-t/000005.0000.copy')).equals(contents[5] ?? Buffer.alloc(0)),
    ).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the writer gives lent contents back when they were read, and not before', async () => {
  const memory = new SharedArrayBuffer(600_000);
  const writer = new TarWriter({ modified: new Date() });
  const chunks = writer.body[Symbol.asyncIterator]();
  let back = 0;
  const content = lend(memory, 600_000, () => (back += 1));
  content.fill('x');
  const added = writer.add('data/00001-t/000000.0000.copy', content);
  let seen = 0;
  for (let next = await chunks.next(); seen < 512 + 600_000; next = await chunks.next()) {
    expect(back).toBe(0);
    seen += (next.value as Uint8Array).length;
  }
  await added;
  expect(back).toBe(1);
  writer.abort(new Error('enough'));
});

test('a reader that stops ends the writer', async () => {
  const writer = new TarWriter({ modified: new Date() });
  const waiting = writer.add('data/00001-t/000000.0000.copy', Buffer.alloc(8_000_000));
  waiting.catch(() => undefined);
  writer.abort(new Error('upload failed'));
  await expect(waiting).rejects.toThrow('upload failed');
  await expect(writer.add('data/00001-t/000001.0000.copy', Buffer.alloc(1))).rejects.toThrow('upload failed');
});
