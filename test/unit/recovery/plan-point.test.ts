import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tableGaps, windowsOf } from '../../../src/catalog/window.ts';
import type { UsableSnapshot, Wanted } from '../../../src/catalog/window.ts';
import { asLsn, formatLsn } from '../../../src/model/lsn.ts';
import { choosePoint } from '../../../src/recovery/plan-point.ts';
import type { JudgedSnapshot, PointFacts, StreamPlace } from '../../../src/recovery/plan-point.ts';
import { gapOf, tableEntry } from '../../support/stream-fixture.ts';

const END = 1000;
const lsn = (value: number) => asLsn(BigInt(value));
const at = (value: number): string => formatLsn(lsn(value));

interface Given {
  readonly upper: number;
  readonly scan?: number;
  /** Numbers of its tables; whole: all of 1, 2, 3. */
  readonly only?: readonly number[] | undefined;
  readonly until?: number;
  /** How its tables are made. */
  readonly made?: string | undefined;
}

/** Newest first, as a plan reads them. */
function snapshots(given: readonly Given[]): JudgedSnapshot[] {
  return [...given]
    .sort((a, b) => b.upper - a.upper)
    .map(({ upper, scan = 5, only, until = END, made }) => ({
      repository: 'here',
      manifest: {
        id: `at-${upper}`,
        instant: '2026-11-23T10:00:00Z',
        scope:
          only === undefined ? { kind: 'whole' } : { kind: 'partial', tables: [], schemas: [], exclude: [] },
        tables: [1, 2, 3].map((oid) =>
          tableEntry(oid, {
            ...(only?.includes(oid) === false && { data: 'excluded' }),
            ...(made !== undefined && { definition: made }),
          }),
        ),
      },
      use: {
        kind: 'usable',
        stream: 's',
        scanFrom: lsn(upper - scan),
        upper: lsn(upper),
        until: lsn(until),
        tie: { kind: 'position', lsn: lsn(upper) },
      },
    }));
}

const place = (cut: number, facts: Partial<StreamPlace> = {}): StreamPlace => ({
  stream: 's',
  server: 'one',
  start: lsn(0),
  end: lsn(END),
  located: { kind: 'found', stop: { kind: 'latest' }, from: lsn(cut), to: lsn(cut) },
  ...facts,
});
const tableGap = (table: number, from: number, to?: number) =>
  gapOf({
    id: `${table}-${from}`,
    stream: 's',
    reason: 'table-rewritten',
    from: { lsn: at(from) },
    ...(to !== undefined && { to: { lsn: at(to), stream: 's' } }),
    tables: [{ oid: table, schema: 'public', name: `t${table}` }],
  });
const choose = (cut: number, facts: Partial<PointFacts>) =>
  choosePoint({ places: [place(cut)], snapshots: [], gaps: [], isTime: false, wanted: [], ...facts });
const brief = (choice: ReturnType<typeof choose>): string =>
  choice.kind === 'none'
    ? `none${choice.gaps.map((gap) => ` ${gap.name}`).join('')}`
    : [
        choice.base.manifest.id,
        ...choice.replaced.map(({ snapshot, tables }) => `${snapshot.manifest.id}:${tables.join()}`),
      ].join(' ');
const named = (...names: readonly string[]): Wanted =>
  names.map(
    (name) =>
      ({ partitionOf = [], ...table }) =>
        [table, ...partitionOf].some((one) => one.name === name),
  );

test('the newest whole snapshot that the point lies behind', () => {
  const all = snapshots([{ upper: 100 }, { upper: 200 }, { upper: 300, only: [1] }]);
  expect(brief(choose(99, { snapshots: all }))).toBe('none');
  expect(brief(choose(100, { snapshots: all }))).toBe('at-100');
  expect(brief(choose(199, { snapshots: all }))).toBe('at-100');
  expect(brief(choose(999, { snapshots: all }))).toBe('at-200');
});

test('I 56: a partial snapshot is never taken for the whole; wanted tables come from the newest that has all of them', () => {
  const all = snapshots([{ upper: 100 }, { upper: 200, only: [1, 2] }, { upper: 300, only: [1] }]);
  expect(brief(choose(500, { snapshots: all }))).toBe('at-100');
  expect(brief(choose(500, { snapshots: all, wanted: named('t1', 't2', 't3') }))).toBe('at-100');
  expect(brief(choose(500, { snapshots: all, wanted: named('t1', 't2') }))).toBe('at-200');
  expect(brief(choose(500, { snapshots: all, wanted: named('t1') }))).toBe('at-300');
  expect(brief(choose(250, { snapshots: all, wanted: named('t1') }))).toBe('at-200');
  expect(brief(choose(500, { snapshots: all.slice(0, 2) }))).toBe('none');
  expect(brief(choose(500, { snapshots: all.slice(0, 2), wanted: named('t3') }))).toBe('none');
  // Of what a partial snapshot does not list it says nothing.
  expect(brief(choose(500, { snapshots: all, wanted: named('t1', 'made-later') }))).toBe('at-100');
});

test('P4: a gap of a table stops what lies behind it, until a newer snapshot; of other tables, it does not', () => {
  const gaps = [tableGap(1, 150, 160)];
  const before = snapshots([{ upper: 100 }]);
  expect(brief(choose(150, { snapshots: before, gaps }))).toBe('at-100');
  expect(brief(choose(151, { snapshots: before, gaps }))).toBe('none t1');
  expect(brief(choose(151, { snapshots: before, gaps, wanted: named('t2') }))).toBe('at-100');
  expect(brief(choose(151, { snapshots: before, gaps, wanted: named('t2', 't1') }))).toBe('none t1');
  const later = snapshots([{ upper: 100 }, { upper: 170, only: [1] }]);
  expect(brief(choose(169, { snapshots: later, gaps, wanted: named('t1') }))).toBe('none t1');
  expect(brief(choose(170, { snapshots: later, gaps, wanted: named('t1') }))).toBe('at-170');
  expect(brief(choose(170, { snapshots: later, gaps }))).toBe('none t1');
  const whole = snapshots([{ upper: 100 }, { upper: 170 }]);
  expect(brief(choose(169, { snapshots: whole, gaps }))).toBe('none t1');
  expect(brief(choose(170, { snapshots: whole, gaps }))).toBe('at-170');
  // Its own scan begins within the gap.
  const early = snapshots([{ upper: 100 }, { upper: 170, scan: 15, only: [1] }]);
  expect(brief(choose(170, { snapshots: early, gaps, wanted: named('t1') }))).toMatch(/^none t1/);
  expect(brief(choose(170, { snapshots: later, gaps: [tableGap(1, 150)], wanted: named('t1') }))).toMatch(
    /^none t1/,
  );
});

test('P4: of all, a table with a gap comes from a later snapshot that has it made alike, with its own tie', () => {
  const gaps = [tableGap(1, 150, 160)];
  const both = (made: string | undefined, facts: Partial<Given> = {}): JudgedSnapshot[] =>
    snapshots([
      { upper: 100, made: 'a' },
      { upper: 170, scan: 3, only: [1], made, ...facts },
    ]);
  expect(brief(choose(169, { snapshots: both('a'), gaps }))).toBe('none t1');
  expect(brief(choose(170, { snapshots: both('a'), gaps }))).toBe('at-100 at-170:1');
  expect(choose(170, { snapshots: both('a'), gaps })).toMatchObject({ scanFrom: 95n });
  expect(brief(choose(150, { snapshots: both('a'), gaps }))).toBe('at-100');
  expect(brief(choose(170, { snapshots: both('b'), gaps }))).toBe('none t1');
  expect(brief(choose(170, { snapshots: both('a', { only: [2] }), gaps }))).toBe('none t1');
  expect(brief(choose(170, { snapshots: both('a', { scan: 15 }), gaps }))).toBe('none t1');
  // Older ones do not say how their tables were made.
  const untold = snapshots([{ upper: 100 }, { upper: 170, only: [1] }]);
  expect(brief(choose(170, { snapshots: untold, gaps }))).toBe('none t1');
  const again = [...gaps, tableGap(1, 300, 310), tableGap(2, 200, 210)];
  expect(brief(choose(200, { snapshots: both('a'), gaps: again }))).toBe('at-100 at-170:1');
  expect(brief(choose(201, { snapshots: both('a'), gaps: again }))).toBe('none t2');
  const third = [...both('a'), ...snapshots([{ upper: 220, only: [2, 3], made: 'a' }])].reverse();
  expect(brief(choose(250, { snapshots: third, gaps: again }))).toBe('at-100 at-170:1 at-220:2');
  expect(brief(choose(301, { snapshots: third, gaps: again }))).toMatch(/^none t1/);
});

test('a table that was made after the snapshot may be a partition of a wanted one: its gap is in the way', () => {
  const gaps = [tableGap(9, 150, 160)];
  const [base] = snapshots([{ upper: 100 }]);
  if (base === undefined) throw new Error('no snapshot');
  const partition = tableEntry(1, {
    kind: 'partition',
    partitionOf: [{ oid: 8, schema: 'public', name: 'parent' }],
  });
  const manifest = { ...base.manifest, tables: [partition, tableEntry(2)] };
  const given = { snapshots: [{ ...base, manifest }], gaps };
  expect(brief(choose(170, { ...given, wanted: named('parent') }))).toBe('none t9');
  expect(brief(choose(170, { ...given, wanted: named('t9') }))).toBe('none t9');
  expect(brief(choose(170, { ...given, wanted: named('t2') }))).toBe('at-100');
});

test('a time that an earlier stream passed is not looked for in a later one', () => {
  const later = place(500, { stream: 's', start: lsn(0), server: 'two' });
  const earlier = place(500, { stream: 'before', server: 'one' });
  const facts = { snapshots: snapshots([{ upper: 100 }]), places: [earlier, later] };
  expect(brief(choose(0, { ...facts, isTime: true }))).toBe('none');
  expect(brief(choose(0, { ...facts, isTime: false }))).toBe('at-100');
  // The same history, captured twice.
  const beside = [{ ...earlier, server: 'two' }, later];
  expect(brief(choose(0, { ...facts, places: beside, isTime: true }))).toBe('at-100');
  const beyond = [{ ...earlier, located: { kind: 'beyond' as const } }, later];
  expect(brief(choose(0, { ...facts, places: beyond, isTime: true }))).toBe('at-100');
});

const oids = fc.uniqueArray(fc.integer({ min: 1, max: 3 }));
const given = fc.record({
  upper: fc.integer({ min: 10, max: 900 }),
  scan: fc.nat(10),
  made: fc.constantFrom('a', 'a', 'a', 'b', undefined),
  only: fc.option(fc.uniqueArray(fc.integer({ min: 1, max: 3 }), { minLength: 1 }), { nil: undefined }),
});
const gaps = fc
  .uniqueArray(
    fc.record({
      table: fc.integer({ min: 1, max: 3 }),
      from: fc.nat(900),
      length: fc.option(fc.nat(40), { nil: undefined }),
    }),
    { maxLength: 5, selector: ({ table, from }) => `${table}-${from}` },
  )
  .map((found) =>
    found.map(({ table, from, length }) =>
      tableGap(table, from, length === undefined ? undefined : from + length),
    ),
  );

test('every position of a window can be planned, and no other', () => {
  let [inside, outside] = [0, 0];
  fc.assert(
    fc.property(
      fc.uniqueArray(given, { maxLength: 8, selector: ({ upper }) => upper }),
      gaps,
      fc.array(fc.integer({ min: 0, max: END }), { minLength: 20, maxLength: 20 }),
      oids,
      (some, missing, cuts, names) => {
        const all = snapshots(some);
        const wanted = named(...names.map((oid) => `t${oid}`));
        const windows = windowsOf(all as UsableSnapshot[], tableGaps(missing, 's'), wanted);
        for (const [index, window] of windows.entries())
          expect(window.from).toBeGreaterThan(windows[index - 1]?.to ?? -1n);
        const edges = windows.flatMap(({ from, to }) => [
          Number(from) - 1,
          Number(from),
          Number(to),
          Number(to) + 1,
        ]);
        for (const cut of [...cuts, ...edges.filter((edge) => edge >= 0 && edge <= END)]) {
          const isIn = windows.some(({ from, to }) => from <= cut && cut <= to);
          expect(choose(cut, { snapshots: all, gaps: missing, wanted }).kind, `${cut}`).toBe(
            isIn ? 'chosen' : 'none',
          );
          if (isIn) inside += 1;
          else outside += 1;
        }
      },
    ),
    { numRuns: 400 },
  );
  expect(Math.min(inside, outside)).toBeGreaterThan(500);
});

test('what is planned is sound: nothing that was taken has a gap between it and the point', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(given, { maxLength: 8, selector: ({ upper }) => upper }),
      gaps,
      fc.integer({ min: 0, max: END }),
      oids,
      (some, missing, cut, names) => {
        const wanted = named(...names.map((oid) => `t${oid}`));
        const choice = choose(cut, { snapshots: snapshots(some), gaps: missing, wanted });
        if (choice.kind === 'none') return;
        for (const oid of names.length === 0 ? [1, 2, 3] : names) {
          const later = choice.replaced.find(({ tables }) => tables.includes(oid))?.snapshot;
          const { manifest, use } = later ?? choice.base;
          const [made, wanted] = [choice.base.manifest, manifest].map(
            ({ tables }) => tables.find((table) => table.oid === oid)?.definition,
          );
          if (later !== undefined) expect([made, typeof made]).toEqual([wanted, 'string']);
          expect(choice.scanFrom).toBeLessThanOrEqual(use.scanFrom);
          expect(manifest.tables.find((table) => table.oid === oid)?.data).toBe('included');
          expect(use.upper).toBeLessThanOrEqual(BigInt(cut));
          for (const gap of tableGaps(missing, 's').filter((one) => one.oid === oid))
            expect(gap.from >= BigInt(cut) || (gap.to !== undefined && gap.to <= use.scanFrom)).toBe(true);
        }
      },
    ),
    { numRuns: 500 },
  );
});
