import { setTimeout as wait } from 'node:timers/promises';
import type { LeaseDocument } from '../archive/retention-documents.ts';
import { readLeases } from '../catalog/leases.ts';
import type { Found } from '../catalog/leases.ts';
import { throwIfAborted } from '../model/failure.ts';
import type { Store } from '../storage/store.ts';

/**
 * Leases that somebody stands behind. One whose time has passed by the store's clock is watched for as long again by
 * our own, which no daylight saving, repair or wrong setting moves: unchanged, it was left by a restore that died, and is removed.
 */
export async function liveLeases(
  store: Store,
  source: string,
  options: {
    readonly storeNow: Date;
    readonly onWait: (milliseconds: number) => void;
    readonly signal: AbortSignal;
  },
): Promise<LeaseDocument[]> {
  const { storeNow, signal } = options;
  const found = await readLeases(store, source, options);
  const stale = found.filter(
    ({ document, modified }) => storeNow.getTime() - modified.getTime() > document.ttlSeconds * 1000,
  );
  if (stale.length === 0) return found.map(({ document }) => document);
  const ttlMs = Math.max(...stale.map(({ document }) => document.ttlSeconds)) * 1000;
  options.onWait(ttlMs);
  await watched(ttlMs, signal);
  const isDead = (lease: Found<LeaseDocument>): boolean =>
    stale.some(({ key, text }) => key === lease.key && text === lease.text);
  const after = await readLeases(store, source, options);
  for (const { key } of after.filter(isDead)) await store.delete(key, { signal });
  return after.filter((lease) => !isDead(lease)).map(({ document }) => document);
}

/** Waits on a clock that only goes forward: a timer may fire early by a fraction. */
export async function watched(milliseconds: number, signal: AbortSignal): Promise<void> {
  const until = performance.now() + milliseconds;
  for (let left = milliseconds; left > 0; left = until - performance.now())
    await wait(Math.ceil(left), undefined, { signal }).catch(() => throwIfAborted(signal));
}
