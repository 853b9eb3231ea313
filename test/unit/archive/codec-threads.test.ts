import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { createOpener, createSealer, generateIdentity } from '../../../src/archive/age.ts';
import { decodePart, encodePart } from '../../../src/archive/codec.ts';
import { CodecThreads } from '../../../src/archive/codec-threads.ts';
import { release } from '../../../src/archive/external-memory.ts';
import { PART_BYTES } from '../../../src/archive/member-name.ts';

/** Compresses by about half. */
function sample(bytes: number): Buffer {
  return Buffer.from(
    randomBytes(Math.ceil(bytes / 2))
      .toString('hex')
      .slice(0, bytes),
  );
}

test.for(['zstd', 'gzip'] as const)(
  '%s: threads and libuv’s undo what the others make',
  async (compression) => {
    await using threads = new CodecThreads({ most: 4 });
    const keys = await generateIdentity();
    const sealer = createSealer([keys.recipient]);
    const opener = createOpener([keys.identity]);
    const sizes = [0, 1, 40_000, 1_000_000, PART_BYTES - 1, PART_BYTES];
    await Promise.all(
      [...sizes, ...sizes].map(async (size) => {
        const bytes = sample(size);
        const plain = { compression, sealer: undefined, opener: undefined };
        const mine = await encodePart(bytes, { ...plain, threads });
        expect((await decodePart(mine, { ...plain, copyBytes: size })).equals(bytes)).toBe(true);
        const theirs = await encodePart(bytes, plain);
        expect((await decodePart(theirs, { ...plain, copyBytes: size, threads })).equals(bytes)).toBe(true);
        const back = await decodePart(mine, { ...plain, copyBytes: size, threads });
        expect(back.equals(bytes)).toBe(true);
        release(back);
        release(mine);
        const sealed = await encodePart(bytes, { compression, sealer, threads });
        const opened = await decodePart(sealed, { compression, opener, copyBytes: size, threads });
        expect(opened.equals(bytes)).toBe(true);
        release(opened);
      }),
    );
  },
);

test('incompressible parts have room', async () => {
  await using threads = new CodecThreads({ most: 1 });
  const bytes = randomBytes(PART_BYTES);
  const how = { compression: 'zstd' as const, sealer: undefined, opener: undefined, threads };
  const stored = await encodePart(bytes, how);
  expect((await decodePart(stored, { ...how, copyBytes: bytes.length })).equals(bytes)).toBe(true);
});

test('what is lent is used again only after its release', async () => {
  await using threads = new CodecThreads({ most: 1 });
  const first = await threads.compress(sample(100_000), 'zstd');
  const kept = Buffer.from(first);
  const second = await threads.compress(sample(100_000), 'zstd');
  expect(first.equals(kept)).toBe(true);
  expect(second.buffer).not.toBe(first.buffer);
  release(first);
  // Twice is once: the memory must not be lent to two.
  release(first);
  const third = await threads.compress(sample(100_000), 'zstd');
  const fourth = await threads.compress(sample(100_000), 'zstd');
  expect(third.buffer).toBe(first.buffer);
  expect(fourth.buffer).not.toBe(first.buffer);
});

test('what is broken fails by the same name as without threads, and the thread goes on', async () => {
  await using threads = new CodecThreads({ most: 1 });
  const bytes = sample(500_000);
  const how = { compression: 'zstd' as const, sealer: undefined, opener: undefined };
  const stored = Buffer.from(await encodePart(bytes, how));
  const read = (changed: Buffer, copyBytes = bytes.length): Promise<Buffer> =>
    decodePart(changed, { ...how, copyBytes, threads });
  await expect(read(stored.subarray(0, -9))).rejects.toMatchObject({ code: 'integrity.truncated' });
  await expect(read(Buffer.alloc(100_000, 7))).rejects.toMatchObject({ code: 'integrity.format' });
  await expect(read(stored, bytes.length - 1)).rejects.toMatchObject({ code: 'integrity.format' });
  await expect(read(stored, bytes.length + 1)).rejects.toMatchObject({ code: 'integrity.format' });
  expect((await read(stored)).equals(bytes)).toBe(true);
});

test('whoever waits hears that the threads were ended', async () => {
  const threads = new CodecThreads({ most: 1 });
  const waiting = Array.from({ length: 5 }, () => threads.compress(sample(PART_BYTES), 'gzip'));
  const ended = Promise.allSettled(waiting);
  await threads[Symbol.asyncDispose]();
  expect((await ended).map((one) => one.status)).toContain('rejected');
  await expect(threads.compress(sample(100_000), 'zstd')).rejects.toThrow('ended');
});
