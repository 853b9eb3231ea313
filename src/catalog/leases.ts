import { setTimeout as wait } from 'node:timers/promises';
import { parseDocument } from '../archive/document.ts';
import { leaseSchema, pruneMarkSchema } from '../archive/retention-documents.ts';
import type { LeaseDocument, PruneMark } from '../archive/retention-documents.ts';
import { Failure, asFailure } from '../model/failure.ts';
import type { Store } from '../storage/store.ts';
import { encodeDocument } from './documents.ts';
import { randomCharacters } from './ids.ts';
import { keys } from './keys.ts';
import { readSmallObject } from './small-object.ts';

interface CallOptions {
  readonly signal: AbortSignal;
}

const MAX_LEASE_BYTES = 16 * 1024 * 1024;
/** Renewals within the time after which a lease may count as left behind: some may fail. */
const RENEWALS_IN_TTL = 10;

/** A lease or mark as it was found. */
export interface Found<T> {
  readonly key: string;
  readonly document: T;
  /** Its text: another one shows that somebody stands behind it. */
  readonly text: string;
  /** By the store's clock. */
  readonly modified: Date;
}

/**
 * A document below `leases/` that changes again and again for as long as this process lives, and goes with it. One
 * that a kill left behind stays as it was: whoever watches it for its `ttlSeconds` knows.
 */
export class Held<T extends { readonly ttlSeconds: number; readonly renewals: number }> {
  readonly #store: Store;
  readonly #key: string;
  readonly #stop = new AbortController();
  #document: T;
  #written: Promise<void> = Promise.resolve();
  #renewing: Promise<void> | undefined;

  private constructor(store: Store, key: string, document: T) {
    this.#store = store;
    this.#key = key;
    this.#document = document;
  }

  /** Fails when it can't be written. */
  static async take<T extends { readonly ttlSeconds: number; readonly renewals: number }>(
    store: Store,
    key: string,
    document: T,
    options: CallOptions,
  ): Promise<Held<T>> {
    const held = new Held(store, key, document);
    await held.#write(options.signal);
    held.#renewing = held.#renew();
    return held;
  }

  /** Says something else from now on. Fails when it can't be written. */
  async change(facts: Partial<T>, options: CallOptions): Promise<void> {
    this.#document = { ...this.#document, ...facts };
    await this.#write(options.signal);
  }

  /** Leaves it as it is. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#renewing;
  }

  /** Removes it. Never fails: it is left behind then, and stands for nobody soon. */
  async end(): Promise<void> {
    await this.stop();
    await this.#store.delete(this.#key, { signal: AbortSignal.timeout(10_000) }).catch(() => undefined);
  }

  async #renew(): Promise<void> {
    const { signal } = this.#stop;
    const interval = (this.#document.ttlSeconds * 1000) / RENEWALS_IN_TTL;
    while (!signal.aborted) {
      await wait(interval, undefined, { signal, ref: false }).catch(() => undefined);
      if (!signal.aborted) await this.#write(signal).catch(() => undefined);
    }
  }

  /** One after the other, so that what is said last stays. */
  #write(signal: AbortSignal): Promise<void> {
    const write = async (): Promise<void> => {
      this.#document = { ...this.#document, renewals: this.#document.renewals + 1 };
      await this.#store.replace(this.#key, encodeDocument(this.#document), { signal });
    };
    const written = this.#written.then(write, write);
    this.#written = written.catch(() => undefined);
    return written;
  }
}

/** Leases of restores from a source. Fails with `integrity.format`: one that can't be read may be any. */
export async function readLeases(
  store: Store,
  source: string,
  options: CallOptions,
): Promise<Found<LeaseDocument>[]> {
  const found: Found<LeaseDocument>[] = [];
  for await (const object of store.list(keys.restoreLeases(source), options)) {
    const text = await readText(store, object.key, options);
    if (text === undefined) continue;
    const document = parseDocument(Buffer.from(text), object.key, leaseSchema);
    // `a-b` begins as `a` does.
    if (document.source === source) found.push({ ...object, document, text });
  }
  return found;
}

/** What a prune says of a source; undefined when there is none. */
export async function readPruneMark(
  store: Store,
  source: string,
  options: CallOptions,
): Promise<Found<PruneMark> | undefined> {
  const key = keys.pruneMark(source);
  const stat = await store.stat(key, options);
  const text = stat === undefined ? undefined : await readText(store, key, options);
  if (stat === undefined || text === undefined) return undefined;
  const document = parseDocument(Buffer.from(text), key, pruneMarkSchema);
  return { key, document, text, modified: stat.modified };
}

/** What the store's clock says: ages of objects are told by it alone. Writes and removes a small object. */
export async function storeClock(store: Store, options: CallOptions): Promise<Date> {
  const key = keys.clock(randomCharacters(8));
  await store.replace(key, Buffer.from('clock'), options);
  const found = await store.stat(key, options);
  await store.delete(key, options);
  if (found === undefined) throw new Failure('repository.error', 'what was written can’t be read back');
  return found.modified;
}

async function readText(store: Store, key: string, { signal }: CallOptions): Promise<string | undefined> {
  try {
    return (await readSmallObject(store, key, { signal, maxBytes: MAX_LEASE_BYTES })).toString('utf8');
  } catch (error) {
    // It ended between the listing and now.
    if (asFailure(error).code === 'repository.object_missing') return undefined;
    throw error;
  }
}
