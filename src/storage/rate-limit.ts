import { setMaxListeners } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { throwIfAborted } from '../model/failure.ts';
import type { PutBody, Store } from './store.ts';
import { fullBucket, take } from './token-bucket.ts';

const BURST_MS = 100;
/** Transfers take turns by slices, whatever the pieces that each one moves: so they share evenly. */
const SLICE_MS = 10;
const LEAST_SLICE_BYTES = 16 * 1024;

/** One limit for all transfers in one direction, of however many stores share it. */
export class RateLimit {
  readonly sliceBytes: number;
  #bucket;

  constructor(bytesPerSecond: number) {
    this.sliceBytes = Math.max(LEAST_SLICE_BYTES, Math.ceil((bytesPerSecond * SLICE_MS) / 1000));
    this.#bucket = fullBucket(bytesPerSecond, BURST_MS);
  }

  /** Resolves when so many bytes may move. Fails with `interrupted` as soon as the signal fires. */
  async pay(bytes: number, signal: AbortSignal): Promise<void> {
    for (let left = bytes; left > 0; left -= this.sliceBytes) {
      throwIfAborted(signal);
      const { bucket, waitMs } = take(this.#bucket, Math.min(left, this.sliceBytes), performance.now());
      this.#bucket = bucket;
      // A wait that is ended early rejects; why is told by the signal.
      if (waitMs > 0) await wait(waitMs, undefined, { signal }).catch(() => throwIfAborted(signal));
    }
  }
}

export interface RateLimits {
  readonly upload?: RateLimit | undefined;
  readonly download?: RateLimit | undefined;
}

/**
 * A store whose objects' bytes move no faster than the limits, in the long run and over all calls together. What
 * drivers gather goes out at once: a part of an S3 upload. Lists, requests and leases are not counted.
 */
export function withRateLimits(store: Store, limits: RateLimits): Store {
  const { upload, download } = limits;
  if (upload === undefined && download === undefined) return store;
  return {
    location: store.location,
    capabilities: store.capabilities,
    putIfAbsent: (key, body, options) => {
      setMaxListeners(0, options.signal);
      return store.putIfAbsent(
        key,
        upload === undefined ? body : slowly(body, upload, options.signal),
        options,
      );
    },
    get: async (key, options) => {
      setMaxListeners(0, options.signal);
      const body = await store.get(key, options);
      return download === undefined ? body : slowly(body, download, options.signal);
    },
    stat: (key, options) => store.stat(key, options),
    list: (prefix, options) => store.list(prefix, options),
    delete: (key, options) => store.delete(key, options),
    replace: (key, body, options) => store.replace(key, body, options),
    openPuts: (prefix, options) => store.openPuts(prefix, options),
    abandon: (put, options) => store.abandon(put, options),
    close: () => store.close(),
  };
}

async function* slowly(body: PutBody, limit: RateLimit, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  let debt = 0;
  for await (const chunk of body instanceof Uint8Array ? [body] : body) {
    debt += chunk.length;
    const due = debt - (debt % limit.sliceBytes);
    await limit.pay(due, signal);
    debt -= due;
    yield chunk;
  }
  await limit.pay(debt, signal);
}
