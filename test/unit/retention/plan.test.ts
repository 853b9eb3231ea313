import fc from 'fast-check';
import { expect, test } from 'vitest';
import { windowsOf } from '../../../src/catalog/window.ts';
import { asLsn } from '../../../src/model/lsn.ts';
import { planRetention } from '../../../src/retention/plan.ts';
import type {
  RetentionFacts,
  RetentionPlan,
  RetentionRules,
  SnapshotFacts,
} from '../../../src/retention/plan.ts';
import { uncrossed } from '../../../src/retention/plan-stream.ts';
import type { StreamFacts } from '../../../src/retention/plan-stream.ts';

const HOUR = 3_600_000;
const STREAM = 's1';
/** A position for each second: what happened when is told by where. */
const position = (ms: number): bigint => BigInt(Math.max(0, Math.floor(ms / 1000)));
const id = (number: number): string => `snap-${String(number).padStart(6, '0')}`;

interface Taken {
  readonly hour: number;
  /** Hours that its oldest transaction had been open. */
  readonly open?: number;
  readonly until: number;
  readonly scope?: 'partial' | undefined;
  readonly use?: 'own-instant' | 'waiting' | undefined;
  readonly damage?: string | undefined;
}

function snapshot({ hour, open = 0, until, scope, use, damage }: Taken): SnapshotFacts {
  const upper = asLsn(position(hour * HOUR));
  const scanFrom = asLsn(position((hour - open) * HOUR));
  return {
    manifest: {
      id: id(hour),
      scope:
        scope === undefined
          ? { kind: 'whole' }
          : { kind: 'partial', tables: ['t'], schemas: [], exclude: [] },
      tables: [],
    },
    instant: hour * HOUR,
    damage,
    objects: 3,
    bytes: 100,
    use:
      use === 'waiting'
        ? { kind: 'waiting', stream: STREAM, for: upper }
        : use === 'own-instant'
          ? { kind: 'own-instant', reason: '' }
          : {
              kind: 'usable',
              stream: STREAM,
              tie: { kind: 'position', lsn: scanFrom },
              scanFrom,
              upper,
              until: asLsn(position(until * HOUR)),
            },
  };
}

/** Chapters of an hour each, up to `end`; the window for changes is counted back from there. */
function stream(end: number, changes?: number, more: Partial<StreamFacts> = {}): StreamFacts {
  return {
    id: STREAM,
    ended: false,
    isWaitedFor: false,
    changesFrom: changes === undefined ? undefined : asLsn(position(end * HOUR - changes)),
    entries: Array.from({ length: end }, (_, hour) => ({
      from: asLsn(position(hour * HOUR)),
      to: asLsn(position((hour + 1) * HOUR)),
    })),
    gaps: [],
    ...more,
  };
}

const keptOf = (plan: RetentionPlan): string[] =>
  plan.snapshots.filter(({ keep }) => keep).map((one) => one.id);
const cutHour = (plan: RetentionPlan): number | undefined => {
  const cut = plan.streams[0]?.cut;
  return cut === undefined ? undefined : Number(cut) / 3600;
};
const plan = (
  snapshots: readonly Taken[],
  one: StreamFacts,
  rules: Partial<RetentionRules>,
  more: Partial<RetentionFacts> = {},
): RetentionPlan =>
  planRetention(
    { snapshots: snapshots.map(snapshot), streams: [one], unfinished: [], ...more },
    { timezone: 'UTC', ...rules },
  );

test('the window for changes keeps the snapshot that its beginning is reached from, whatever the rules say', () => {
  const taken = [10, 20, 30, 40].map((hour) => ({ hour, until: 50 }));
  const found = plan(taken, stream(50, 15 * HOUR), { keepLast: 1, changes: 15 * HOUR });
  expect(keptOf(found)).toEqual([id(30), id(40)]);
  expect(found.snapshots.find((one) => one.id === id(30))?.reasons).toEqual([
    'changes that stay are applied onto it',
  ]);
  expect(cutHour(found)).toBe(30);
});

test('what a snapshot’s oldest transaction reaches back to stays as well', () => {
  const taken = [
    { hour: 10, until: 50 },
    { hour: 30, open: 7, until: 50 },
  ];
  expect(cutHour(plan(taken, stream(50, 15 * HOUR), { keepLast: 1, changes: 15 * HOUR }))).toBe(23);
});

test('a time is told from the commit before it: the entry in front of the window stays', () => {
  const taken = [{ hour: 35, until: 50 }];
  expect(cutHour(plan(taken, stream(50, 15 * HOUR), { keepLast: 1, changes: 15 * HOUR }))).toBe(34);
});

test('snapshots behind the window for changes keep their own instant alone', () => {
  const taken = [1, 30].map((hour) => ({ hour, until: 50 }));
  const found = plan(taken, stream(50, 10 * HOUR), { keepLast: 2, changes: 10 * HOUR });
  expect(keptOf(found)).toEqual([id(1), id(30)]);
  expect(cutHour(found)).toBe(30);
});

test('without a window for changes they reach back to the oldest snapshot that a rule keeps', () => {
  const taken = [5, 15, 25, 35].map((hour) => ({ hour, until: 50 }));
  const found = plan(taken, stream(50), { keepLast: 2 });
  expect(keptOf(found)).toEqual([id(25), id(35)]);
  expect(cutHour(found)).toBe(25);
});

test('behind a break the first snapshot that reaches a position is kept', () => {
  const taken = [
    { hour: 10, until: 20 },
    { hour: 30, until: 50 },
    { hour: 45, until: 50 },
  ];
  const found = plan(taken, stream(50, 100 * HOUR), { keepLast: 1, changes: 100 * HOUR });
  expect(keptOf(found)).toEqual([id(10), id(30), id(45)]);
  expect(cutHour(found)).toBe(undefined);
});

test('while the window moves on, the stream is cut again and again, though rules keep fewer days', () => {
  const changes = 40 * HOUR;
  let there = new Set<number>();
  let start = 0;
  for (let end = 10; end < 400; end += 10) {
    there.add(end - 5);
    const all = [...there].map((hour) => ({ hour, until: end })).filter(({ hour }) => hour >= start);
    const found = plan(all, stream(end, changes), { keepLast: 1, changes });
    const left = new Set(keptOf(found));
    there = new Set([...there].filter((hour) => left.has(id(hour))));
    start = cutHour(found) ?? start;
    expect(end - start).toBeLessThan(40 + 2 * 10 + 10);
    expect(there.size).toBeLessThan(8);
  }
});

test.for([
  [
    'waits for capture to pass it',
    [
      { hour: 10, until: 50 },
      { hour: 49, until: 50, use: 'waiting' as const },
    ],
    true,
  ],
  ['nothing to apply changes onto', [{ hour: 10, until: 50, use: 'own-instant' as const }], false],
] as const)('a stream that grows is not cut while a snapshot %s', ([, taken, isWaitedFor]) => {
  const found = plan(taken, stream(50, HOUR, { isWaitedFor }), { keepLast: 1, changes: HOUR });
  expect(cutHour(found)).toBe(undefined);
});

test('of a stream that has ended, and that nothing needs, the newest entry is left', () => {
  const found = plan(
    [{ hour: 60, until: 60, use: 'own-instant' }],
    stream(50, undefined, { ended: true, changesFrom: asLsn(position(50 * HOUR) + 1n) }),
    { keepLast: 1, changes: HOUR },
  );
  expect(cutHour(found)).toBe(49);
});

test('partial snapshots are counted by themselves and never stand for the whole', () => {
  const taken = [
    { hour: 10, until: 50 },
    { hour: 20, until: 50, scope: 'partial' as const },
    { hour: 30, until: 50, scope: 'partial' as const },
  ];
  const found = plan(taken, stream(50, 5 * HOUR), { keepLast: 1, changes: 5 * HOUR });
  expect(keptOf(found)).toEqual([id(10), id(30)]);
  expect(cutHour(found)).toBe(10);
});

test('a damaged snapshot counts for nothing, and stays', () => {
  const taken = [
    { hour: 10, until: 50 },
    { hour: 20, until: 50, damage: 'schema.dump is not there' },
    { hour: 30, until: 50 },
  ];
  const found = plan(taken, stream(50), { keepLast: 2 });
  expect(keptOf(found)).toEqual([id(10), id(20), id(30)]);
  expect(found.refusals).toEqual([]);
});

test.for([
  [
    'the newest snapshot is damaged',
    [
      { hour: 10, until: 50 },
      { hour: 20, until: 50, damage: 'x' },
    ],
    {},
  ],
  ['one was begun later and has not ended', [{ hour: 10, until: 50 }], { unfinished: [id(11)] }],
  ['the caller knows that it failed', [{ hour: 10, until: 50 }], { failedAttempt: 'source.lost' }],
  ['there is none', [], {}],
] as const)('P8: never after a failed backup: %s', ([, taken, more]) => {
  expect(plan(taken, stream(50), { keepLast: 1 }, more).refusals).toHaveLength(1);
  expect(
    plan([{ hour: 10, until: 50 }], stream(50), { keepLast: 1 }, { unfinished: [id(9)] }).refusals,
  ).toEqual([]);
});

test('the last whole snapshot stays, whatever the rules say', () => {
  const taken = [
    { hour: 10, until: 50, use: 'own-instant' as const },
    { hour: 40, until: 50, use: 'own-instant' as const, scope: 'partial' as const },
  ];
  expect(keptOf(plan(taken, stream(50), { keepWithin: HOUR }))).toContain(id(10));
});

test('a cut crosses no object: a writer beside the chain may have stored one that ends later', () => {
  const entries = stream(5).entries;
  const across = { from: asLsn(position(1.5 * HOUR)), to: asLsn(position(3.5 * HOUR)) };
  const at = asLsn(position(3 * HOUR));
  expect(uncrossed(at, entries, entries)).toBe(at);
  expect(uncrossed(at, entries, [...entries, across])).toBe(position(HOUR));
  expect(uncrossed(at, entries, [{ from: asLsn(0n), to: asLsn(99_999n) }])).toBe(undefined);
});

function rarely<T>(value: T): fc.Arbitrary<T | undefined> {
  return fc.oneof(
    { weight: 7, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constant(value) },
  );
}

const taken = fc.record({
  hour: fc.integer({ min: 1, max: 99 }),
  open: fc.integer({ min: 0, max: 5 }),
  until: fc.constant(0),
  scope: rarely('partial' as const),
  use: rarely('own-instant' as const),
  damage: rarely('x'),
});
const world = fc
  .record({
    snapshots: fc.uniqueArray(taken, { selector: ({ hour }) => hour, maxLength: 12 }),
    breaks: fc.uniqueArray(fc.integer({ min: 2, max: 99 }), { maxLength: 3 }),
    tableGaps: fc.array(fc.tuple(fc.integer({ min: 0, max: 98 }), fc.integer({ min: 1, max: 9 })), {
      maxLength: 2,
    }),
    ended: fc.boolean(),
  })
  .map(({ snapshots, breaks, tableGaps, ended }) => ({
    ended,
    snapshots: snapshots.map((one) => {
      const open = Math.min(one.open, one.hour);
      const until = Math.min(100, ...breaks.filter((at) => at > one.hour));
      return { ...one, open, until };
    }),
    gaps: tableGaps.map(([from, length], oid) => ({
      oid,
      schema: 'public',
      name: 't',
      from: asLsn(position(from * HOUR)),
      to: asLsn(position((from + length) * HOUR)),
    })),
  }));
const count = fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined });
const rules = fc.record({
  keepLast: fc.integer({ min: 1, max: 5 }),
  keepHourly: count,
  keepDaily: count,
  changes: fc.option(
    fc.integer({ min: 1, max: 120 }).map((hours) => hours * HOUR),
    { nil: undefined },
  ),
});
type World = typeof world extends fc.Arbitrary<infer T> ? T : never;

const planned = ({ snapshots, ended, gaps }: World, some: Partial<RetentionRules>): RetentionPlan =>
  plan(snapshots, stream(100, some.changes, { ended, gaps }), some);

/** What can still be restored to, by the catalog's own rule, once the plan is carried out. */
function windowsAfter({ snapshots, gaps }: World, found: RetentionPlan) {
  const kept = new Set(keptOf(found));
  const cut = found.streams[0]?.cut ?? 0n;
  const usable = snapshots
    .filter(({ damage }) => damage === undefined)
    .map(snapshot)
    .flatMap(({ manifest, use }) =>
      use.kind === 'usable' && kept.has(manifest.id) && use.scanFrom >= cut ? [{ manifest, use }] : [],
    );
  return windowsOf(usable, gaps);
}

test('I 45, property: every position that must stay is in a window of what is left', () => {
  let telling = 0;
  fc.assert(
    fc.property(world, rules, (all, some) => {
      const found = planned(all, some);
      const windows = windowsAfter(all, found);
      const isCut = found.streams[0]?.cut !== undefined;
      if (isCut && (found.streams[0]?.required.length ?? 0) > 0) telling += 1;
      for (const needed of found.streams[0]?.required ?? [])
        expect(windows.some(({ from, to }) => from <= needed.from && needed.to <= to)).toBe(true);
      // Every position of the window for changes that could be restored before is one that must stay.
      const { changes } = some;
      if (changes === undefined) return;
      const before = windowsAfter(all, {
        ...found,
        snapshots: found.snapshots.map((one) => ({ ...one, keep: true })),
        streams: [],
      });
      const start = position(100 * HOUR - changes);
      for (const { from, to } of before.filter((window) => window.to >= start))
        expect(windows.some((one) => one.from <= (from > start ? from : start) && to <= one.to)).toBe(true);
    }),
    { numRuns: 300 },
  );
  expect(telling).toBeGreaterThan(50);
});

test('property: larger numbers never remove more, of snapshots or changes', () => {
  fc.assert(
    fc.property(world, rules, fc.constantFrom('keepLast', 'keepHourly', 'keepDaily'), (all, some, of) => {
      const less = planned(all, some);
      // Where rules keep nothing that the stream can be applied onto, all of it stays: more than anybody asked for.
      const applied = all.snapshots
        .filter(({ damage, scope }) => damage === undefined && scope === undefined)
        .map(snapshot)
        .flatMap(({ manifest, use }) =>
          use.kind === 'usable' && windowsOf([{ manifest, use }], all.gaps).length > 0 ? [manifest.id] : [],
        );
      const byRule = less.snapshots.filter(({ reasons }) =>
        reasons.some((why) => /^(last|hourly|daily)/.test(why)),
      );
      fc.pre(some.changes !== undefined || byRule.some((one) => applied.includes(one.id)));
      const more = planned(all, { ...some, [of]: (some[of] ?? 0) + 1 });
      const kept = new Set(keptOf(more));
      expect(keptOf(less).filter((one) => !kept.has(one))).toEqual([]);
      expect((more.streams[0]?.cut ?? 0n) <= (less.streams[0]?.cut ?? 0n)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test('property: a longer window for changes never closes a position', () => {
  fc.assert(
    fc.property(world, rules, fc.integer({ min: 1, max: 50 }), (all, some, longer) => {
      fc.pre(some.changes !== undefined);
      const less = planned(all, some);
      const more = windowsAfter(all, planned(all, { ...some, changes: (some.changes ?? 0) + longer * HOUR }));
      for (const needed of less.streams[0]?.required ?? [])
        expect(more.some(({ from, to }) => from <= needed.from && needed.to <= to)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test('property: pruning what was pruned removes nothing', () => {
  fc.assert(
    fc.property(world, rules, (all, some) => {
      const first = planned(all, some);
      const kept = new Set(keptOf(first));
      const cut = first.streams[0]?.cut ?? 0n;
      const left = all.snapshots
        .filter(({ hour }) => kept.has(id(hour)))
        .map((one) => (snapshotBefore(one, cut) ? { ...one, use: 'own-instant' as const } : one));
      const one = stream(100, some.changes, { ended: all.ended, gaps: all.gaps });
      const again = plan(left, { ...one, entries: one.entries.filter(({ from }) => from >= cut) }, some);
      expect(keptOf(again)).toEqual(left.map(({ hour }) => id(hour)));
      expect(again.streams[0]?.cut).toBe(undefined);
    }),
    { numRuns: 300 },
  );
});

function snapshotBefore(
  { hour, open }: { readonly hour: number; readonly open: number },
  cut: bigint,
): boolean {
  return position((hour - open) * HOUR) < cut;
}
