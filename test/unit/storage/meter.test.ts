import { expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/storage/memory.ts';
import { Meter, withMeter } from '../../../src/storage/meter.ts';
import type { PutBody, Store } from '../../../src/storage/store.ts';

const { signal } = new AbortController();

test('requests by kind and bytes there and back', async () => {
  const meter = new Meter();
  const store = withMeter(createMemoryStore(), meter, { requests: 'by call' });
  await store.putIfAbsent('a', Buffer.alloc(1000), { signal });
  await store.putIfAbsent('a', Buffer.alloc(1000), { signal });
  await store.replace('leases/a', Buffer.alloc(50), { signal });
  await Array.fromAsync(await store.get('a', { signal }));
  await Array.fromAsync(await store.get('a', { signal, range: { offset: 10, length: 20 } }));
  await expect(store.get('b', { signal })).rejects.toMatchObject({ code: 'repository.object_missing' });
  await store.stat('a', { signal });
  await Array.fromAsync(store.list('', { signal }));
  await store.delete('a', { signal });
  expect(meter.traffic).toEqual({
    requests: { put: 3, get: 3, stat: 1, list: 1, delete: 1 },
    retries: 0,
    sentBytes: 2050,
    receivedBytes: 1020,
  });
});

test('bodies pass untouched: the driver gets the caller’s, the reader the driver’s own promises', async () => {
  const memory = createMemoryStore();
  const seen: PutBody[] = [];
  const promises: Promise<unknown>[] = [];
  let ended = 0;
  const inner: Store = {
    ...memory,
    putIfAbsent: (key, body, options) => {
      seen.push(body);
      return memory.putIfAbsent(key, body, options);
    },
    get: () =>
      Promise.resolve({
        [Symbol.asyncIterator]: () => ({
          next: () => {
            const promise = Promise.resolve({ done: false as const, value: Buffer.alloc(7) });
            promises.push(promise);
            return promise;
          },
          return: () => {
            ended += 1;
            return Promise.resolve({ done: true as const, value: undefined });
          },
        }),
      }),
  };
  const meter = new Meter();
  const store = withMeter(inner, meter, { requests: 'by driver' });
  const body = (async function* () {
    yield await Promise.resolve(Buffer.alloc(3));
  })();
  await store.putIfAbsent('a', body, { signal });
  expect(seen).toEqual([body]);
  const iterator = (await store.get('a', { signal }))[Symbol.asyncIterator]();
  expect(iterator.next()).toBe(promises[0]);
  for await (const chunk of await store.get('a', { signal })) {
    expect(chunk).toHaveLength(7);
    break;
  }
  expect(ended).toBe(1);
  expect(meter.traffic).toMatchObject({ sentBytes: 3, receivedBytes: 14, requests: { put: 0, get: 0 } });
});

test('a read that fails is told to its reader, once', async () => {
  const memory = createMemoryStore();
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(Buffer.alloc(5));
    throw new Error('cut');
  };
  const meter = new Meter();
  const inner: Store = { ...memory, get: () => Promise.resolve(failing()) };
  const store = withMeter(inner, meter, { requests: 'by call' });
  await expect(Array.fromAsync(await store.get('a', { signal }))).rejects.toThrow('cut');
  expect(meter.traffic.receivedBytes).toBe(5);
});
