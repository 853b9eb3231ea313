import { Failure, throwIfAborted } from '../model/failure.ts';
import { checkedKey, digestOf, refuseUnlessLease } from './store-rules.ts';
import type { Store } from './store.ts';

/** Objects in this process' memory: for tests of what stands on a store, and as the contract's plainest reading. */
export function createMemoryStore(): Store {
  const objects = new Map<string, { readonly bytes: Buffer; readonly modified: Date }>();
  const find = (key: string): { readonly bytes: Buffer; readonly modified: Date } => {
    const found = objects.get(checkedKey(key));
    if (found === undefined)
      throw new Failure('repository.object_missing', `${key} is not there`, { facts: { object: key } });
    return found;
  };
  return {
    location: 'memory',
    capabilities: { conditionalPut: true, objectLock: false, atomicReplace: true },
    putIfAbsent: async (key, body, { signal }) => {
      checkedKey(key);
      const chunks: Uint8Array[] = [];
      for await (const chunk of body instanceof Uint8Array ? [body] : body) {
        throwIfAborted(signal);
        chunks.push(Uint8Array.from(chunk));
      }
      throwIfAborted(signal);
      const bytes = Buffer.concat(chunks);
      const mine = await digestOf(asStream(bytes));
      const there = objects.get(key);
      if (there === undefined) objects.set(key, { bytes, modified: new Date() });
      return {
        outcome: there === undefined ? 'created' : there.bytes.equals(bytes) ? 'same' : 'differs',
        ...mine,
      };
    },
    get: async (key, { range, signal }) => {
      throwIfAborted(signal);
      const { bytes } = find(key);
      return Promise.resolve(
        asStream(range === undefined ? bytes : bytes.subarray(range.offset, range.offset + range.length)),
      );
    },
    stat: async (key, { signal }) => {
      throwIfAborted(signal);
      const found = objects.get(checkedKey(key));
      return found && { key, sizeBytes: found.bytes.length, modified: found.modified };
    },
    list: async function* (prefix, { after = '', signal }) {
      throwIfAborted(signal);
      const isListed = (key: string): boolean => key.startsWith(prefix) && key > after;
      for (const key of [...objects.keys()].filter(isListed).sort()) {
        const { bytes, modified } = find(key);
        yield { key, sizeBytes: bytes.length, modified };
      }
      await Promise.resolve();
    },
    delete: async (key, { signal }) => {
      throwIfAborted(signal);
      objects.delete(checkedKey(key));
    },
    replace: async (key, body) => {
      refuseUnlessLease(key);
      objects.set(checkedKey(key), { bytes: Buffer.from(body), modified: new Date() });
    },
    openPuts: async function* () {},
    abandon: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

async function* asStream(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}
