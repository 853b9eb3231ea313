import type { Store } from './store.ts';

export type RequestKind = 'put' | 'get' | 'stat' | 'list' | 'delete';

/** What went between this process and a store. */
export interface Traffic {
  /** As the store was asked: of a bucket every HTTP request, parts of uploads and pages of lists among them. */
  readonly requests: Readonly<Record<RequestKind, number>>;
  /** Requests that were sent again after a failure; they are among `requests`. */
  readonly retries: number;
  /** Of objects that were put whole. */
  readonly sentBytes: number;
  /** Of objects' bodies, as read. */
  readonly receivedBytes: number;
}

/** Counts for all stores that it is given to. */
export class Meter {
  readonly #requests = { put: 0, get: 0, stat: 0, list: 0, delete: 0 };
  #retries = 0;
  #sentBytes = 0;
  #receivedBytes = 0;

  requested(kind: RequestKind): void {
    this.#requests[kind] += 1;
  }

  retried(): void {
    this.#retries += 1;
  }

  sent(bytes: number): void {
    this.#sentBytes += bytes;
  }

  received(bytes: number): void {
    this.#receivedBytes += bytes;
  }

  get traffic(): Traffic {
    return {
      requests: { ...this.#requests },
      retries: this.#retries,
      sentBytes: this.#sentBytes,
      receivedBytes: this.#receivedBytes,
    };
  }
}

/**
 * A store whose traffic is counted. Bodies pass untouched: what was sent is known from a put's result, and what is
 * read is counted beside the reader, which gets the store's own promises. `requests: 'by driver'` leaves requests
 * to a driver that makes several of one call.
 */
export function withMeter(
  store: Store,
  meter: Meter,
  options: { readonly requests: 'by call' | 'by driver' },
): Store {
  const count = (kind: RequestKind): void => {
    if (options.requests === 'by call') meter.requested(kind);
  };
  return {
    location: store.location,
    capabilities: store.capabilities,
    putIfAbsent: async (key, body, options) => {
      count('put');
      const put = await store.putIfAbsent(key, body, options);
      meter.sent(put.sizeBytes);
      return put;
    },
    get: async (key, options) => {
      count('get');
      return counted(await store.get(key, options), meter);
    },
    stat: (key, options) => {
      count('stat');
      return store.stat(key, options);
    },
    list: (prefix, options) => {
      count('list');
      return store.list(prefix, options);
    },
    delete: (key, options) => {
      count('delete');
      return store.delete(key, options);
    },
    replace: async (key, body, options) => {
      count('put');
      await store.replace(key, body, options);
      meter.sent(body.length);
    },
    openPuts: (prefix, options) => {
      count('list');
      return store.openPuts(prefix, options);
    },
    abandon: (put, options) => {
      count('delete');
      return store.abandon(put, options);
    },
    close: () => store.close(),
  };
}

function counted(body: AsyncIterable<Uint8Array>, meter: Meter): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => {
      const from = body[Symbol.asyncIterator]();
      return {
        next: () => {
          const chunk = from.next();
          // Told to whoever reads; here it only isn't counted.
          chunk.then(
            (read) => {
              if (read.done !== true) meter.received(read.value.length);
            },
            () => undefined,
          );
          return chunk;
        },
        return: async (value?: unknown) => (await from.return?.(value)) ?? { done: true, value: undefined },
      };
    },
  };
}
