import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { sha256Hex } from '../../src/archive/digest.ts';
import type { Store } from '../../src/storage/store.ts';

const signal = new AbortController().signal;

async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  await Promise.resolve();
}
const read = async (store: Store, key: string, range?: { offset: number; length: number }): Promise<Buffer> =>
  Buffer.concat(await Array.fromAsync(await store.get(key, { signal, ...(range && { range }) })));
const keysOf = async (store: Store, prefix: string, after?: string): Promise<string[]> =>
  (await Array.fromAsync(store.list(prefix, { signal, after }))).map((object) => object.key);

/** What every store must do: run by each one's own test file. `fresh` gives an empty store. */
export function storeSuite(fresh: () => Promise<Store>): void {
  test.for([0, 1, 5_000_000, 8 * 1024 * 1024, 8 * 1024 * 1024 + 1, 30_000_000])(
    'an object of %i bytes comes back, whole and in ranges',
    async (size) => {
      const store = await fresh();
      const bytes = randomBytes(size);
      const put = await store.putIfAbsent('a/b/object', chunks(bytes, 700_001), { signal });
      expect(put).toEqual({ outcome: 'created', sizeBytes: size, sha256: sha256Hex(bytes) });
      expect((await read(store, 'a/b/object')).equals(bytes)).toBe(true);
      expect(await store.stat('a/b/object', { signal })).toMatchObject({
        key: 'a/b/object',
        sizeBytes: size,
      });
      if (size > 10) {
        const range = { offset: Math.trunc(size / 3), length: Math.trunc(size / 2) };
        expect(
          (await read(store, 'a/b/object', range)).equals(
            bytes.subarray(range.offset, range.offset + range.length),
          ),
        ).toBe(true);
      }
    },
  );

  test('a chunk of a body may be filled anew once the next one is asked for', async () => {
    const store = await fresh();
    const bytes = randomBytes(15_000_001);
    const reused = Buffer.alloc(700_001);
    const body = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunks(bytes, reused.length)) {
        reused.set(chunk);
        yield reused.subarray(0, chunk.length);
        reused.fill(0);
      }
    };
    const put = await store.putIfAbsent('object', body(), { signal });
    expect(put).toEqual({ outcome: 'created', sizeBytes: bytes.length, sha256: sha256Hex(bytes) });
    expect((await read(store, 'object')).equals(bytes)).toBe(true);
  });

  test.for([10, 20_000_000])(
    'P2: a second put of %i bytes is same or differs, and overwrites nothing',
    async (size) => {
      const store = await fresh();
      const [mine, other] = [randomBytes(size), randomBytes(size)];
      expect((await store.putIfAbsent('object', mine, { signal })).outcome).toBe('created');
      expect((await store.putIfAbsent('object', mine, { signal })).outcome).toBe('same');
      expect((await store.putIfAbsent('object', chunks(mine, 999_999), { signal })).outcome).toBe('same');
      expect((await store.putIfAbsent('object', other, { signal })).outcome).toBe('differs');
      expect((await store.putIfAbsent('object', randomBytes(size + 1), { signal })).outcome).toBe('differs');
      expect((await read(store, 'object')).equals(mine)).toBe(true);
    },
  );

  test('of two puts at once one wins', async () => {
    const store = await fresh();
    if (!store.capabilities.conditionalPut) return expect(store.capabilities.conditionalPut).toBe(false);
    const bodies = Array.from({ length: 6 }, () => randomBytes(1000));
    const outcomes = await Promise.all(bodies.map((body) => store.putIfAbsent('race', body, { signal })));
    expect(outcomes.filter((put) => put.outcome === 'created')).toHaveLength(1);
    const winner = bodies[outcomes.findIndex((put) => put.outcome === 'created')];
    expect((await read(store, 'race')).equals(winner ?? Buffer.alloc(0))).toBe(true);
  });

  test('a body that fails leaves nothing, and its own failure is told', async () => {
    const store = await fresh();
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield randomBytes(20_000_000);
      await Promise.resolve();
      throw new Error('the source broke');
    };
    await expect(store.putIfAbsent('broken', failing(), { signal })).rejects.toThrow(/the source broke/);
    expect(await store.stat('broken', { signal })).toBeUndefined();
    expect(await keysOf(store, '')).toEqual([]);
  });

  test('a put that is stopped leaves nothing', async () => {
    const store = await fresh();
    const stop = new AbortController();
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      for (let count = 0; ; count += 1) {
        if (count === 3) stop.abort();
        yield await Promise.resolve(randomBytes(9_000_000));
      }
    };
    await expect(store.putIfAbsent('stopped', endless(), { signal: stop.signal })).rejects.toMatchObject({
      code: 'interrupted',
    });
    expect(await keysOf(store, '')).toEqual([]);
  });

  test('lists by prefix, in order, and all pages', async () => {
    const store = await fresh();
    const keys = ['z', 'b/2', 'b/10', 'b/1', 'b-c/x', 'B/x', 'b/deep/er/one'];
    for (const key of keys) await store.putIfAbsent(key, Buffer.from(key), { signal });
    expect(await keysOf(store, 'b/')).toEqual(['b/1', 'b/10', 'b/2', 'b/deep/er/one']);
    expect(await keysOf(store, '')).toEqual([...keys].sort());
    expect(await keysOf(store, 'none/')).toEqual([]);
    for (let count = 0; count < 1100; count += 1)
      await store.putIfAbsent(`many/${count}`, Buffer.alloc(0), { signal });
    expect(await keysOf(store, 'many/')).toHaveLength(1100);
    const all = await keysOf(store, '');
    for (const after of [
      '',
      'B',
      'B/x',
      'b',
      'b-c',
      'b/',
      'b/10',
      'b/deep',
      'b/deep/er/one',
      'b/deep0',
      'many/50',
      'many0',
      'z',
      '~',
    ])
      for (const prefix of ['', 'b/', 'b', 'many/'])
        expect(await keysOf(store, prefix, after), `below ${prefix} after ${after}`).toEqual(
          all.filter((key) => key.startsWith(prefix) && key > after),
        );
  }, 120_000);

  test('absent objects: get fails by name, stat and delete do not', async () => {
    const store = await fresh();
    await expect(read(store, 'absent')).rejects.toMatchObject({ code: 'repository.object_missing' });
    expect(await store.stat('absent', { signal })).toBeUndefined();
    await store.delete('absent', { signal });
    await store.putIfAbsent('present', Buffer.from('x'), { signal });
    await store.delete('present', { signal });
    expect(await store.stat('present', { signal })).toBeUndefined();
    expect((await store.putIfAbsent('present', Buffer.from('y'), { signal })).outcome).toBe('created');
  });

  test('only leases are replaced', async () => {
    const store = await fresh();
    await store.replace('leases/one', Buffer.from('1'), { signal });
    await store.replace('leases/one', Buffer.from('22'), { signal });
    expect((await read(store, 'leases/one')).toString()).toBe('22');
    await expect(store.replace('sources/main/x', Buffer.from('1'), { signal })).rejects.toMatchObject({
      code: 'repository.error',
    });
  });

  test.for(['../up', 'a/../b', '/root', 'a//b', 'a/', '', 'a\\b', 'a\0b', 'a b'])(
    'the key %j is refused',
    async (key) => {
      const store = await fresh();
      await expect(store.putIfAbsent(key, Buffer.from('x'), { signal })).rejects.toMatchObject({
        code: 'repository.error',
      });
    },
  );
}
