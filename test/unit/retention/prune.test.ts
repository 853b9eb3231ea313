import { beforeEach, expect, test } from 'vitest';
import { FORMAT_VERSION } from '../../../src/archive/manifest.ts';
import type { LeaseDocument } from '../../../src/archive/retention-documents.ts';
import { encodeDocument } from '../../../src/catalog/documents.ts';
import { newId } from '../../../src/catalog/ids.ts';
import { publishJobBegun, publishJobEnded } from '../../../src/catalog/jobs.ts';
import { keys } from '../../../src/catalog/keys.ts';
import { Held, readPruneMark } from '../../../src/catalog/leases.ts';
import type { Repository } from '../../../src/catalog/repository.ts';
import { asLsn, formatLsn } from '../../../src/model/lsn.ts';
import { preparePrune } from '../../../src/retention/prepare.ts';
import { prune } from '../../../src/retention/prune.ts';
import type { PruneOutcome } from '../../../src/retention/prune.ts';
import { Failure } from '../../../src/model/failure.ts';
import { createMemoryStore } from '../../../src/storage/memory.ts';
import type { Store } from '../../../src/storage/store.ts';
import { verifyStream } from '../../../src/verify/verify-stream.ts';
import {
  STREAM,
  hourPosition,
  hourTime,
  hourlySnapshot,
  hourlyStream,
} from '../../support/retention-fixture.ts';
import { newRepository } from '../../support/stream-fixture.ts';

const HOUR = 3_600_000;
const signal = new AbortController().signal;
const source = 'main';
let store: Store;
let repository: Repository;
let ids: string[];

/** Two snapshots go, and the first 20 hours. */
beforeEach(async () => {
  store = createMemoryStore();
  repository = await newRepository(store);
  await hourlyStream(repository, 40);
  ids = [];
  for (const hour of [2, 14, 22, 38]) ids.push(await hourlySnapshot(repository, hour));
});

interface Run {
  readonly graceMs?: number;
  readonly wait?: boolean;
  readonly on?: Repository;
  readonly now?: number;
}

const run = ({
  graceMs = 0,
  wait = false,
  on = repository,
  now = Date.parse(hourTime(48)),
}: Run = {}): Promise<PruneOutcome> =>
  prune(on, {
    source,
    graceMs,
    wait,
    program: 'test',
    prepare: (_, cutAtMost) =>
      preparePrune(on, {
        cutAtMost,
        source,
        rules: { timezone: 'UTC', keepLast: 1, changes: 12 * HOUR },
        failedAttempt: undefined,
        now,
        signal,
      }),
    onWait: () => undefined,
    signal,
  });
const keysOf = async (prefix: string): Promise<string[]> =>
  (await Array.fromAsync(store.list(prefix, { signal }))).map(({ key }) => key);
const snapshotIds = async (): Promise<string[]> => [
  ...new Set((await keysOf(keys.snapshots(source))).map((key) => key.split('/')[3] ?? '')),
];
const errors = async (): Promise<string[]> => {
  const options = { deep: false, opener: undefined, onProgress: () => undefined, signal };
  const { findings } = await verifyStream(repository, { source, stream: STREAM }, options);
  return findings.filter(({ level }) => level === 'error').map(({ message }) => message);
};
const lease = (facts: Partial<LeaseDocument>): LeaseDocument => ({
  formatVersion: FORMAT_VERSION,
  kind: 'tidemark-lease',
  id: newId(new Date()),
  source,
  ttlSeconds: 100,
  renewals: 0,
  ...facts,
});
const putLease = (document: LeaseDocument): Promise<void> =>
  store.replace(keys.restoreLease(document.source, document.id), encodeDocument(document), { signal });

test('the first run marks, one after the grace removes; what is left verifies', async () => {
  const before = await keysOf('sources/');
  const first = await run({ graceMs: HOUR });
  expect(first.removed.objects).toBe(0);
  expect(first.marked).toMatchObject({ snapshots: [ids[1], ids[0]], leftovers: [] });
  expect((await run({ graceMs: HOUR })).removed.objects).toBe(0);
  expect(await keysOf('sources/')).toEqual(before);
  const second = await run();
  expect(second.removed).toMatchObject({ snapshots: [ids[1], ids[0]], objects: 2 * 2 + 25 });
  expect(second.marked).toBe(undefined);
  expect(await snapshotIds()).toEqual([ids[2], ids[3]]);
  expect(await errors()).toEqual([]);
  expect(await keysOf('leases/')).toEqual([]);
  expect((await run()).removed.objects).toBe(0);
});

test('only what was marked goes: what a later plan finds has its own grace', async () => {
  await run({ graceMs: HOUR });
  const marked = (await readPruneMark(store, source, { signal }))?.document;
  const [first = ''] = ids;
  await store.replace(keys.pruneMark(source), encodeDocument({ ...marked, snapshots: [first], cuts: [] }), {
    signal,
  });
  const second = await run();
  expect(second.removed).toMatchObject({ snapshots: [first], cuts: [] });
  expect(second.marked).toMatchObject({ snapshots: [ids[1]], cuts: [{ stream: STREAM }] });
  expect((await run()).removed).toMatchObject({ snapshots: [ids[1]], cuts: [{ stream: STREAM }] });
});

test('a window that moves on each day does not keep a stream from being cut: as far as was marked', async () => {
  await run({ graceMs: HOUR });
  const marked = (await readPruneMark(store, source, { signal }))?.document;
  const at = (hour: number): { stream: string; at: string } => ({
    stream: STREAM,
    at: formatLsn(asLsn(hourPosition(hour))),
  });
  await store.replace(keys.pruneMark(source), encodeDocument({ ...marked, cuts: [at(8)] }), { signal });
  const second = await run();
  expect(second.removed).toMatchObject({ cuts: [{ stream: STREAM, at: hourPosition(8) }] });
  expect(second.marked).toMatchObject({ snapshots: [], cuts: [at(20)] });
  expect(await errors()).toEqual([]);
  expect((await run()).removed).toMatchObject({ cuts: [{ stream: STREAM, at: hourPosition(20) }] });
  expect(await errors()).toEqual([]);
});

test('with wait one run does both', async () => {
  const { removed } = await run({ graceMs: 50, wait: true });
  expect(removed.snapshots).toHaveLength(2);
});

test('P8: what a restore needs is held back, and only that', async () => {
  const needed = ids[1] ?? '';
  await putLease(
    lease({
      needs: { snapshot: needed, changes: { stream: STREAM, from: formatLsn(asLsn(hourPosition(14))) } },
    }),
  );
  await putLease(lease({ source: 'main-2' }));
  const { removed, heldBack, marked } = await run();
  expect(removed.snapshots).toEqual([ids[0]]);
  expect(removed.cuts).toEqual([]);
  expect(heldBack).toHaveLength(2);
  expect(marked?.snapshots).toEqual([needed]);
  expect(await snapshotIds()).toContain(needed);
});

test('a restore that still plans may need anything', async () => {
  await putLease(lease({}));
  const { removed, heldBack } = await run();
  expect(removed.objects).toBe(0);
  expect(heldBack).toHaveLength(3);
});

test('a lease that is taken while the mark is made to say deleting counts', async () => {
  const late: Repository = {
    ...repository,
    store: {
      ...store,
      replace: async (key, body, options) => {
        await store.replace(key, body, options);
        if (key === keys.pruneMark(source) && body.toString().includes('"deleting"'))
          await putLease(lease({}));
      },
    },
  };
  const { removed, heldBack } = await run({ on: late });
  expect(removed.objects).toBe(0);
  expect(heldBack).toHaveLength(3);
});

test('a lease that nobody renews is watched for its time, then goes; one that is renewed does not', async () => {
  const alive = lease({ ttlSeconds: 0.4 });
  const held = await Held.take(store, keys.restoreLease(source, alive.id), alive, { signal });
  // Written long ago by the store's clock, but for our own it changes.
  const old: Store = {
    ...store,
    list: async function* (prefix, options) {
      for await (const object of store.list(prefix, options)) yield { ...object, modified: new Date(0) };
    },
  };
  expect((await run({ on: { ...repository, store: old } })).heldBack).toHaveLength(3);
  await held.end();
  expect(await keysOf('leases/restore')).toEqual([]);
  const dead = lease({ ttlSeconds: 0.001 });
  await putLease(dead);
  expect((await run({ on: { ...repository, store: old } })).removed.snapshots).toHaveLength(2);
  expect(await keysOf('leases/')).toEqual([]);
});

test('a prune that was killed is gone on with at once; one that still runs is left alone', async () => {
  await run({ graceMs: HOUR });
  const marked = (await readPruneMark(store, source, { signal }))?.document;
  if (marked === undefined) throw new Error('no mark');
  const [first = '', second = ''] = marked.snapshots;
  await store.replace(
    keys.pruneMark(source),
    encodeDocument({ ...marked, state: 'deleting', ttlSeconds: 0.05 }),
    { signal },
  );
  await store.delete(keys.manifest(source, first), { signal });
  const { removed } = await run({ graceMs: HOUR });
  expect(removed.snapshots).toEqual([second]);
  expect(await snapshotIds()).toEqual([ids[2], ids[3]]);
  const other = { ...marked, state: 'deleting' as const, ttlSeconds: 0.5 };
  const held = await Held.take(store, keys.pruneMark(source), other, { signal });
  await expect(run()).rejects.toMatchObject({ code: 'prune.under_way' });
  await held.end();
});

test('P8: never after a failed backup', async () => {
  await store.putIfAbsent(
    keys.snapshotObject(source, '20241102T235900Z-aaaaaa', 'schema.dump'),
    Buffer.from('x'),
    {
      signal,
    },
  );
  await expect(run()).rejects.toMatchObject({ code: 'prune.refused' });
  expect(await keysOf('leases/')).toEqual([]);
});

test('P8: a scheduled snapshot that failed, and left nothing, counts until a later one is there', async () => {
  const job = {
    formatVersion: FORMAT_VERSION,
    id: newId(new Date()),
    source,
  } as const;
  const startedAt = hourTime(39);
  const begun = {
    ...job,
    schedule: 'daily',
    job: 'snapshot',
    reason: 'scheduled',
    attempt: 1,
    dueAt: startedAt,
    startedAt,
  } as const;
  await publishJobBegun(repository, { ...begun, kind: 'tidemark-job-begun' }, { signal });
  await expect(run()).rejects.toMatchObject({
    code: 'prune.refused',
    message: expect.stringContaining('has not ended'),
  });
  const ended = {
    ...job,
    kind: 'tidemark-job-ended',
    outcome: 'failed',
    endedAt: startedAt,
    code: 'source.lost',
  } as const;
  await publishJobEnded(repository, { source, schedule: 'daily' }, ended, { signal });
  await expect(run()).rejects.toMatchObject({
    code: 'prune.refused',
    message: expect.stringContaining('source.lost'),
  });
  await hourlySnapshot(repository, 40, {
    manifest: { tie: { kind: 'none', snapshot: '9:9:', upper: '0/1' } },
  });
  expect((await run()).removed.snapshots).toHaveLength(2);
});

test('what a lock of the store keeps is told, and not hidden by a delete', async () => {
  const locked: Repository = {
    ...repository,
    store: {
      ...store,
      capabilities: { ...store.capabilities, objectLock: true },
      stat: async (key, options) => {
        const found = await store.stat(key, options);
        return (
          found &&
          (key.includes(ids[0] ?? '') ? { ...found, lockedUntil: new Date(Date.now() + HOUR) } : found)
        );
      },
    },
  };
  const { removed, heldBack } = await run({ on: locked });
  expect(removed.snapshots).toEqual([ids[1]]);
  expect(heldBack).toEqual([expect.stringContaining(`snapshot ${ids[0]}: the store keeps it until`)]);
});

test('what the store refuses to remove is told, and the rest goes', async () => {
  const strict: Repository = {
    ...repository,
    store: {
      ...store,
      delete: (key, options) =>
        key.includes(ids[0] ?? '-')
          ? Promise.reject(new Failure('repository.permission', 'AccessDenied'))
          : store.delete(key, options),
    },
  };
  const { removed, heldBack } = await run({ on: strict });
  expect(removed.snapshots).toEqual([ids[1]]);
  expect(heldBack).toEqual([`snapshot ${ids[0]}: AccessDenied`]);
  expect(await snapshotIds()).toContain(ids[0]);
});

test('leftovers go when all of them are a week old: snapshots that did not end, parts that no run lists', async () => {
  const left = '20241020T010000Z-bbbbbb';
  const attempt = keys.streamObject(source, STREAM, 'parts/0000000000009D00-abc/0.tar');
  const coming = keys.streamObject(source, STREAM, 'parts/00000000000FFFFF-abc/0.tar');
  for (const key of [keys.snapshotObject(source, left, 'schema.dump'), attempt, coming])
    await store.putIfAbsent(key, Buffer.from('x'), { signal });
  expect((await run()).removed.leftovers).toEqual([]);
  const later = Date.now() + 8 * 24 * HOUR;
  expect((await run({ now: later })).removed.leftovers).toEqual([
    keys.snapshot(source, left),
    attempt.slice(0, -'0.tar'.length),
  ]);
  expect(await keysOf(coming)).toHaveLength(1);
  expect(await errors()).toEqual([]);
});

test('uploads that did not end are ended when they are a week old', async () => {
  const week = 7 * 24 * HOUR;
  const now = Date.parse(hourTime(480));
  const puts = [-HOUR, HOUR].map((more, index) => ({
    key: 'sources/main/x',
    id: String(index),
    since: new Date(now - week - more),
  }));
  const ended: string[] = [];
  const billed: Repository = {
    ...repository,
    store: {
      ...store,
      openPuts: async function* () {
        yield* await Promise.resolve(puts);
      },
      abandon: ({ id }) => Promise.resolve(void ended.push(id)),
    },
  };
  await run({ on: billed, now });
  expect(ended).toEqual(['1']);
});
