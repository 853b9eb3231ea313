import fc from 'fast-check';
import { expect, test } from 'vitest';
import { keptByRules } from '../../../src/retention/keep-rules.ts';
import type { DatedSnapshot, KeepRules } from '../../../src/retention/keep-rules.ts';

const UTC = { timezone: 'UTC' };
const at = (text: string): DatedSnapshot => ({ id: text, instant: Date.parse(text) });
const kept = (snapshots: readonly DatedSnapshot[], rules: KeepRules): string[] =>
  [...keptByRules(snapshots, rules).keys()].sort();

const days = Array.from({ length: 40 }, (_, day) =>
  new Date(Date.UTC(2026, 9, 1 + day, 2)).toISOString().replace('.000', ''),
);
const daily = days.map(at);

test('of each period the newest one is kept, for as many periods as there are any', () => {
  const twice = [...daily, ...days.map((day) => at(day.replace('T02', 'T14')))];
  expect(kept(twice, { ...UTC, keepDaily: 2 })).toEqual(['2026-11-08T14:00:00Z', '2026-11-09T14:00:00Z']);
  expect(kept(twice, { ...UTC, keepLast: 3 })).toHaveLength(3);
  expect(kept(daily, { ...UTC, keepMonthly: 2 })).toEqual(['2026-10-31T02:00:00Z', '2026-11-09T02:00:00Z']);
  // 2026-11-09 is a Monday.
  expect(kept(daily, { ...UTC, keepWeekly: 3 })).toEqual([
    '2026-11-01T02:00:00Z',
    '2026-11-08T02:00:00Z',
    '2026-11-09T02:00:00Z',
  ]);
});

test('weeks do not end with a year', () => {
  const newYear = ['2026-12-27T12:00:00Z', '2026-12-28T12:00:00Z', '2027-01-03T12:00:00Z'].map(at);
  expect(kept(newYear, { ...UTC, keepWeekly: 1 })).toEqual(['2027-01-03T12:00:00Z']);
  expect([...keptByRules(newYear, { ...UTC, keepWeekly: 2 })]).toEqual([
    ['2027-01-03T12:00:00Z', ['weekly']],
    ['2026-12-27T12:00:00Z', ['weekly']],
  ]);
});

test('while a rule’s number is not reached, the oldest of all stays too', () => {
  expect([...keptByRules(daily, { ...UTC, keepYearly: 5 })]).toEqual([
    ['2026-11-09T02:00:00Z', ['yearly']],
    ['2026-10-01T02:00:00Z', ['yearly, oldest']],
  ]);
});

test('within counts back from the newest snapshot, not from today', () => {
  expect(kept(daily, { ...UTC, keepWithin: 2 * 86_400_000 })).toEqual(days.slice(-2));
});

test('days and hours are those of the time zone; an hour that comes twice is two', () => {
  const around = [at('2026-11-24T22:30:00Z'), at('2026-11-24T23:30:00Z')];
  expect(kept(around, { ...UTC, keepDaily: 1 })).toHaveLength(1);
  expect(kept(around, { timezone: 'Europe/Berlin', keepDaily: 2 })).toHaveLength(2);
  const back = [at('2026-10-25T00:30:00Z'), at('2026-10-25T01:30:00Z'), at('2026-10-25T02:30:00Z')];
  expect(kept(back, { timezone: 'Europe/Berlin', keepHourly: 3 })).toHaveLength(3);
});

test('without a rule all are kept', () => {
  expect(kept(daily, UTC)).toEqual(days);
});

const snapshots = fc
  .uniqueArray(fc.integer({ min: 0, max: 400 * 86_400 }), { maxLength: 40 })
  .map((seconds) => seconds.map((one): DatedSnapshot => ({ id: `s${one}`, instant: one * 1000 })));
const count = fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined });
const rules = fc.record({
  keepLast: count,
  keepHourly: count,
  keepDaily: count,
  keepWeekly: count,
  keepMonthly: count,
  keepYearly: count,
  keepWithin: fc.option(fc.integer({ min: 1000, max: 100 * 86_400_000 }), { nil: undefined }),
  timezone: fc.constantFrom('UTC', 'America/New_York', 'Asia/Kathmandu'),
});

test('property: a larger number never keeps less', () => {
  const grown = fc.record({ of: fc.constantFrom('keepLast', 'keepDaily', 'keepWeekly', 'keepMonthly') });
  fc.assert(
    fc.property(snapshots, rules, grown, (all, some, { of }) => {
      // The first rule at all takes away the word that everything stays.
      fc.pre(some[of] !== undefined);
      const more = { ...some, [of]: (some[of] ?? 0) + 1 };
      const after = new Set(kept(all, more));
      expect(kept(all, some).filter((id) => !after.has(id))).toEqual([]);
    }),
  );
});

test('property: one more rule never keeps less; what is kept once is kept again', () => {
  fc.assert(
    fc.property(snapshots, rules, rules, (all, some, other) => {
      fc.pre(some.keepLast !== undefined);
      const given = Object.fromEntries(Object.entries(some).filter(([, value]) => value !== undefined));
      const more = new Set(kept(all, { ...other, ...given }));
      const first = kept(all, some);
      expect(first.filter((id) => !more.has(id))).toEqual([]);
      const left = all.filter(({ id }) => first.includes(id));
      expect(kept(left, some)).toEqual(first);
      if (all.length > 0) expect(first.length).toBeGreaterThan(0);
    }),
  );
});
