import { beforeAll, expect, test } from 'vitest';
import { readManifests, recoveryWindows } from '../../../src/catalog/recovery-windows.ts';
import type { Repository } from '../../../src/catalog/repository.ts';
import { openHistory } from '../../../src/catalog/source-history.ts';
import { streamTip } from '../../../src/catalog/stream-tip.ts';
import { StreamView } from '../../../src/catalog/stream-view.ts';
import { parseCommitTime } from '../../../src/model/commit-time.ts';
import { asLsn, formatLsn } from '../../../src/model/lsn.ts';
import { planRecovery } from '../../../src/recovery/plan-recovery.ts';
import type { RecoveryPlan } from '../../../src/recovery/plan-recovery.ts';
import { replayDocument, replayLines } from '../../../src/cli/recovery-plan.ts';
import { parseRecoveryTarget } from '../../../src/recovery/target.ts';
import { createMemoryStore } from '../../../src/storage/memory.ts';
import {
  StreamBuilder,
  countingStore,
  manifestOf,
  newRepository,
  storeManifest,
} from '../../support/stream-fixture.ts';

const signal = new AbortController().signal;
const STREAM = '20261101T000000Z-aaaaaa';
const MINUTE = 60_000_000n;
const DAYS = 30;
const START = 0x10_0000_0000n;
/** WAL of a minute, and xids of a minute. */
const STEP = 0x10_0000n;
const XIDS = 100n;
const BEGIN = parseCommitTime('2026-11-01T00:00:00Z') ?? 0n;
const MINUTES = DAYS * 24 * 60;

const counting = countingStore(createMemoryStore());
let repository: Repository;

const lsnAt = (minute: number): bigint => START + BigInt(minute) * STEP;
const xidAt = (minute: number): bigint => 1000n + BigInt(minute) * XIDS;

/** A segment a minute for 30 days with chapters but for the last hour, in ten-second segments; a snapshot a day. */
beforeAll(async () => {
  repository = await newRepository(counting.store);
  const stream = await StreamBuilder.begin(repository, {
    id: STREAM,
    start: START,
    document: { startedAt: '2026-11-01T00:00:00Z' },
  });
  for (let minute = 1; minute <= MINUTES; minute += 1) {
    const last = minute > MINUTES - 60;
    for (const part of last ? [1n, 2n, 3n, 4n, 5n, 6n] : [6n])
      await stream.segment({
        to:
          lsnAt(minute - 1) +
          (STEP / 6n + 1n) * (part - 1n) +
          (part === 6n ? STEP - (STEP / 6n + 1n) * 5n : STEP / 6n + 1n),
        latest: BEGIN + BigInt(minute - 1) * MINUTE + (MINUTE / 6n) * part,
        heartbeats: [{ position: lsnAt(minute - 1) + 16n * part, xid: xidAt(minute - 1) + part }],
      });
    if (!last && minute % 60 === 0) await stream.chapter();
  }
  for (let day = 0; day < DAYS; day += 1) {
    const minute = day * 24 * 60 + 120;
    const [xmin, upper] = [xidAt(minute) + 50n, lsnAt(minute) + STEP / 2n];
    await storeManifest(
      repository,
      manifestOf(repository, {
        id: `202611${String(day + 1).padStart(2, '0')}T020000Z-snapsh`,
        instant: `2026-11-${String(day + 1).padStart(2, '0')}T02:00:30.000Z`,
        tie: { kind: 'xid', stream: STREAM, snapshot: `${xmin}:${xmin}:`, upper: formatLsn(asLsn(upper)) },
      }),
    );
  }
}, 300_000);

async function counted<T>(act: () => Promise<T>): Promise<{ readonly result: T; readonly requests: number }> {
  const before = counting.count();
  const result = await act();
  return { result, requests: counting.count() - before };
}

const plan = (target: string): Promise<RecoveryPlan> =>
  planRecovery([repository], {
    source: 'main',
    target: parseRecoveryTarget(target),
    opener: undefined,
    signal,
  });

test.for([
  ['latest', '20261130T020000Z-snapsh'],
  ['2026-11-30T23:59:30Z', '20261130T020000Z-snapsh'],
  ['2026-11-30T01:59:30Z', '20261129T020000Z-snapsh'],
  ['2026-11-15T12:34:56.789Z', '20261115T020000Z-snapsh'],
  [`lsn:${formatLsn(asLsn(lsnAt(10 * 24 * 60)))}`, '20261110T020000Z-snapsh'],
  ['2026-11-01T03:00:00Z', '20261101T020000Z-snapsh'],
] as const)('a plan for %s reads a day of chapters, in at most 100 requests', async ([target, snapshot]) => {
  const { result, requests } = await counted(() => plan(target));
  expect(result.snapshot.id).toBe(snapshot);
  expect(requests).toBeLessThanOrEqual(100);
  expect(replayLines(result).join('\n')).toMatch(
    /from [0-9A-F]+\/[0-9A-F]+, ending .*\n.* segments, .* transactions/,
  );
  expect(replayDocument(result)).toMatchObject({ stream: STREAM, ddl: expect.any(String) as string });
  const { replay } = result;
  expect(replay?.reading.segments[0]?.from).toBeLessThanOrEqual(replay?.base.use.scanFrom ?? 0n);
  expect(replay?.reading.segments.at(-1)?.to).toBeGreaterThanOrEqual(replay?.to ?? 0n);
  for (const [index, segment] of (replay?.reading.segments ?? []).entries()) {
    const before = replay?.reading.segments[index - 1];
    if (before !== undefined) expect(segment.from).toBe(before.to);
  }
  expect(replay?.reading.segments.length).toBeLessThan(24 * 60 + 400);
});

test('scanFrom is the newest heartbeat older than the snapshot’s oldest transaction', async () => {
  const { replay } = await plan('2026-11-15T12:34:56Z');
  const minute = 14 * 24 * 60 + 120;
  // Heartbeats of that minute have xids below xmin; the next minute's are above it.
  expect(replay?.base.use.scanFrom).toBe(lsnAt(minute) + 16n * 6n);
});

test('an overview of a month takes less than 1000 requests', async () => {
  const { result, requests } = await counted(async () => {
    const history = await openHistory([repository], { source: 'main', signal });
    return recoveryWindows(history, await readManifests(history, { signal }));
  });
  expect(requests).toBeLessThanOrEqual(1000);
  expect(result.snapshots.every(({ use }) => use.kind === 'usable')).toBe(true);
  expect(result.windows).toHaveLength(1);
  expect(result.windows[0]).toMatchObject({ from: lsnAt(120) + STEP / 2n, to: lsnAt(MINUTES) });
  // The snapshot lies within a minute's run, whose latest commit is the first time that surely is behind it.
  expect(result.windows[0]?.times).toEqual({
    from: BEGIN + 121n * MINUTE,
    to: BEGIN + BigInt(MINUTES) * MINUTE - 1n,
  });
});

test('a capture goes on from the tip, which is found in a handful of requests', async () => {
  const { result, requests } = await counted(async () =>
    streamTip(await StreamView.open(repository, { source: 'main', stream: STREAM }, { signal })),
  );
  expect(result).toMatchObject({ to: lsnAt(MINUTES), latestCommitTime: BEGIN + BigInt(MINUTES) * MINUTE });
  expect(requests).toBeLessThanOrEqual(6);
});

test.for([
  ['2026-10-31T00:00:00Z', 'lies before all'],
  ['2026-11-01T01:00:00Z', 'no usable snapshot lies before it'],
  ['2026-12-01T00:00:00Z', 'beyond the tidemark'],
  [`lsn:${formatLsn(asLsn(lsnAt(MINUTES)))}`, 'beyond the tidemark'],
] as const)(
  'P5: %s is refused, and the nearest points that are named can be restored',
  async ([target, why]) => {
    const failure = await plan(target).catch(
      (error: unknown) => error as Error & { code: string; facts: Record<string, string> },
    );
    if (!('facts' in failure)) throw new Error('it was planned');
    expect(failure.code).toBe('recovery.no_point');
    expect(failure.message).toContain(why);
    const named = [failure.facts['before'], failure.facts['after']].filter((point) => point !== undefined);
    expect(named.length).toBeGreaterThan(0);
    for (const point of named)
      for (const one of point.split(/[ ()]+/).filter((word) => word !== ''))
        expect(await plan(one)).toMatchObject({ target: parseRecoveryTarget(one), replay: {} });
  },
);
