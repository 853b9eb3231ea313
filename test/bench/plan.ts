// What listing and planning cost over a month of segments, in a store of which each request takes 100 ms.
import { setTimeout as sleep } from 'node:timers/promises';
import { readManifests, recoveryWindows } from '../../src/catalog/recovery-windows.ts';
import type { Repository } from '../../src/catalog/repository.ts';
import { openHistory } from '../../src/catalog/source-history.ts';
import { parseCommitTime } from '../../src/model/commit-time.ts';
import { asLsn, formatLsn } from '../../src/model/lsn.ts';
import { planRecovery } from '../../src/recovery/plan-recovery.ts';
import { parseRecoveryTarget } from '../../src/recovery/target.ts';
import { createMemoryStore } from '../../src/storage/memory.ts';
import type { ObjectStat, Store } from '../../src/storage/store.ts';
import {
  StreamBuilder,
  countingStore,
  manifestOf,
  newRepository,
  storeManifest,
} from '../support/stream-fixture.ts';
import { print } from './measure.ts';

const LATENCY_MS = 100;
const STREAM = '20261101T000000Z-aaaaaa';
const BEGIN = parseCommitTime('2026-11-01T00:00:00Z') ?? 0n;
const START = 0x10_0000_0000n;
/** Of ten seconds: WAL, xids, microseconds. */
const STEP = 0x4_0000n;
const XIDS = 100n;
const TEN_SECONDS = 10_000_000n;
const SEGMENTS_AN_HOUR = 360;
const OBJECTS_A_PAGE = 1000;

export async function plans(scale: number): Promise<void> {
  const days = Math.max(1, Math.round(30 * scale));
  const latency = { milliseconds: 0 };
  const counting = countingStore(slow(forgetful(createMemoryStore()), latency));
  const repository = await newRepository(counting.store);
  const segments = await fill(repository, days);
  latency.milliseconds = LATENCY_MS;
  print(
    `\n| ${segments} segments of ${days} days, ${LATENCY_MS} ms a request | requests | time | heap, most |\n| --- | --- | --- | --- |`,
  );
  const { signal } = new AbortController();
  const tell = async (title: string, act: () => Promise<unknown>): Promise<void> => {
    const before = { requests: counting.count(), heap: usedHeap(), started: performance.now() };
    let most = 0;
    const timer = setInterval(() => (most = Math.max(most, process.memoryUsage().heapUsed)), 20);
    await act();
    clearInterval(timer);
    const seconds = (performance.now() - before.started) / 1000;
    const heap = (Math.max(most, process.memoryUsage().heapUsed) - before.heap) / 1e6;
    print(
      `| ${title} | ${counting.count() - before.requests} | ${seconds.toFixed(1)} s | +${heap.toFixed(0)} MB |`,
    );
  };
  await tell('overview: windows, and what each snapshot can do', async () => {
    const history = await openHistory([repository], { source: 'main', signal });
    await recoveryWindows(history, await readManifests(history, { signal }));
  });
  const middle = String(Math.ceil(days / 2)).padStart(2, '0');
  for (const target of ['latest', `2026-11-${middle}T12:34:56.789Z`, `2026-11-${middle}T01:59:30Z`])
    await tell(`plan: restore --to ${target}`, () =>
      planRecovery([repository], {
        source: 'main',
        target: parseRecoveryTarget(target),
        opener: undefined,
        signal,
      }),
    );
}

/** A segment each ten seconds, chapters but for the last hour, a snapshot a day. */
async function fill(repository: Repository, days: number): Promise<number> {
  const stream = await StreamBuilder.begin(repository, {
    id: STREAM,
    start: START,
    document: { startedAt: '2026-11-01T00:00:00Z' },
  });
  const segments = days * 24 * SEGMENTS_AN_HOUR;
  for (let number = 1n; number <= segments; number += 1n) {
    await stream.segment({
      to: START + number * STEP,
      latest: BEGIN + number * TEN_SECONDS,
      heartbeats: [{ position: START + (number - 1n) * STEP + 16n, xid: 1000n + number * XIDS }],
    });
    if (number % BigInt(SEGMENTS_AN_HOUR) === 0n && number < segments) await stream.chapter();
  }
  for (let day = 0; day < days; day += 1) {
    const number = BigInt((day * 24 + 2) * SEGMENTS_AN_HOUR);
    const xid = 1000n + number * XIDS + 50n;
    const date = String(day + 1).padStart(2, '0');
    await storeManifest(
      repository,
      manifestOf(repository, {
        id: `202611${date}T020000Z-snapsh`,
        instant: `2026-11-${date}T02:00:05.000Z`,
        tie: {
          kind: 'xid',
          stream: STREAM,
          snapshot: `${xid}:${xid}:`,
          upper: formatLsn(asLsn(START + number * STEP + STEP / 2n)),
        },
      }),
    );
  }
  return segments;
}

function usedHeap(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

/** Keeps all names, but of segments only the bodies of the last hours: nobody reads what a chapter tells of. */
function forgetful(store: Store): Store {
  const names: ObjectStat[] = [];
  const kept: string[] = [];
  return {
    ...store,
    putIfAbsent: async (key, body, options) => {
      const put = await store.putIfAbsent(key, body, options);
      if (!key.endsWith('.tar')) return put;
      names.push({ key, sizeBytes: put.sizeBytes, modified: new Date(0) });
      kept.push(key);
      if (kept.length > 2 * SEGMENTS_AN_HOUR) await store.delete(kept.shift() ?? '', options);
      return put;
    },
    list: async function* (prefix, options) {
      const mine = names.filter(({ key }) => key.startsWith(prefix) && key > (options.after ?? ''));
      // Digits sort before the letters that all else begins with.
      yield* mine;
      for await (const object of store.list(prefix, options)) if (!object.key.endsWith('.tar')) yield object;
    },
  };
}

/** Each request takes some time, and each page of a listing. */
function slow(store: Store, latency: { readonly milliseconds: number }): Store {
  const wait = (): Promise<void> => sleep(latency.milliseconds);
  return {
    ...store,
    get: async (...args) => {
      if (latency.milliseconds > 0) await wait();
      return store.get(...args);
    },
    stat: async (...args) => {
      if (latency.milliseconds > 0) await wait();
      return store.stat(...args);
    },
    list: async function* (...args) {
      let listed = 0;
      for await (const object of store.list(...args)) {
        if (listed % OBJECTS_A_PAGE === 0 && latency.milliseconds > 0) await wait();
        listed += 1;
        yield object;
      }
      if (listed === 0 && latency.milliseconds > 0) await wait();
    },
  };
}
