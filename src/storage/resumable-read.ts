import { Failure, throwIfAborted } from '../model/failure.ts';
import type { GetOptions, Store } from './store.ts';

/** Bodies without a new byte before it gives up. A request that fails is final: the driver has waited it out. */
const TRIES = 5;
const FIRST_WAIT_MS = 200;
const RETRYABLE = new Set(['repository.unreachable', 'repository.throttled', 'repository.error']);

/**
 * A store whose reads survive cut connections: a body that breaks, or ends cleanly before its length, is asked
 * for again from where it stopped. Long restores leave streams idle, and providers cut those. Gives up with
 * the store's own failure, or `integrity.truncated` when the object is shorter than it should be.
 */
export function withResumableReads(store: Store): Store {
  return {
    location: store.location,
    capabilities: store.capabilities,
    putIfAbsent: (key, body, options) => store.putIfAbsent(key, body, options),
    stat: (key, options) => store.stat(key, options),
    list: (prefix, options) => store.list(prefix, options),
    delete: (key, options) => store.delete(key, options),
    replace: (key, body, options) => store.replace(key, body, options),
    openPuts: (prefix, options) => store.openPuts(prefix, options),
    abandon: (put, options) => store.abandon(put, options),
    close: () => store.close(),
    get: async (key, options) => {
      const length = options.range?.length ?? (await store.stat(key, options))?.sizeBytes;
      // A body that nobody reads would hold its connection.
      if (length === 0) return nothing();
      const first = await store.get(key, options);
      return length === undefined ? first : resuming(store, { key, options, length, first });
    },
  };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

async function* resuming(
  store: Store,
  what: {
    readonly key: string;
    readonly options: GetOptions;
    readonly length: number;
    readonly first: AsyncIterable<Uint8Array>;
  },
): AsyncGenerator<Uint8Array> {
  const start = what.options.range?.offset ?? 0;
  let read = 0;
  let tries = 0;
  let body: AsyncIterable<Uint8Array> | undefined = what.first;
  while (read < what.length) {
    throwIfAborted(what.options.signal);
    body ??= await store.get(what.key, {
      ...what.options,
      range: { offset: start + read, length: what.length - read },
    });
    try {
      for await (const chunk of body) {
        read += chunk.length;
        tries = 0;
        yield chunk;
      }
    } catch (error) {
      if (!(error instanceof Failure) || !RETRYABLE.has(error.code) || tries + 1 >= TRIES) throw error;
    }
    body = undefined;
    if (read >= what.length) return;
    tries += 1;
    if (tries >= TRIES) {
      throw new Failure(
        'integrity.truncated',
        `${what.key} ends after ${start + read} bytes, ${start + what.length} are expected`,
        {
          facts: { object: what.key },
        },
      );
    }
    await wait(FIRST_WAIT_MS * 2 ** (tries - 1) * (0.5 + Math.random()), what.options.signal);
  }
}

function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}
