import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/storage/memory.ts';
import { RateLimit, withRateLimits } from '../../../src/storage/rate-limit.ts';

const calm = new AbortController().signal;

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  await Promise.resolve();
}
async function timed(act: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await act();
  return performance.now() - started;
}

test('all uploads together keep the limit, and share it evenly whatever their pieces', async () => {
  const store = withRateLimits(createMemoryStore(), { upload: new RateLimit(1_000_000) });
  const body = randomBytes(200_000);
  const ends: number[] = [];
  const all = await timed(() =>
    Promise.all(
      [1_000, 16_000, 70_000, 200_000].map(async (size, index) => {
        ends.push(await timed(() => store.putIfAbsent(`o${index}`, pieces(body, size), { signal: calm })));
      }),
    ),
  );
  // 800 KB at 1 MB/s, less a burst of 0.1 s.
  expect(all).toBeGreaterThan(650);
  expect(all).toBeLessThan(5000);
  expect(Math.min(...ends)).toBeGreaterThan(all * 0.6);
});

test('uploads and downloads have limits of their own, and two stores may share one', async () => {
  const memory = createMemoryStore();
  await memory.putIfAbsent('o', randomBytes(300_000), { signal: calm });
  const download = new RateLimit(1_000_000);
  const stores = [1, 2].map(() => withRateLimits(memory, { download }));
  const read = async (store: (typeof stores)[number]) => {
    for await (const chunk of await store.get('o', { signal: calm })) void chunk;
  };
  expect(
    await timed(() => stores[0]!.putIfAbsent('p', randomBytes(3_000_000), { signal: calm })),
  ).toBeLessThan(2000);
  const both = await timed(() => Promise.all(stores.map(read)));
  // 600 KB at 1 MB/s, less the burst.
  expect(both).toBeGreaterThan(430);
});

test('a stop ends the wait at once, and those who go on are not held up by it', async () => {
  const limit = new RateLimit(100_000);
  const stop = new AbortController();
  const stopped = Array.from({ length: 20 }, () => limit.pay(1_000_000, stop.signal));
  const outcomes = Promise.allSettled(stopped);
  const waited = await timed(async () => {
    setTimeout(() => stop.abort(), 100);
    for (const outcome of await outcomes)
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'interrupted' } });
  });
  expect(waited).toBeLessThan(2000);
  // Each had asked for one slice only: 20 of 16 KiB are 3.3 s.
  expect(await timed(() => limit.pay(1000, calm))).toBeLessThan(4500);
});

test('a body that fails under a limit fails as it would without', async () => {
  const store = withRateLimits(createMemoryStore(), { upload: new RateLimit(10_000_000) });
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(10);
    await Promise.resolve();
    throw new Error('the source broke');
  };
  await expect(store.putIfAbsent('x', failing(), { signal: calm })).rejects.toThrow('the source broke');
});

test('without a limit the store itself is given back', () => {
  const memory = createMemoryStore();
  expect(withRateLimits(memory, {})).toBe(memory);
});
