import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CronRule, isCron, isTimeZone } from '../../../src/schedule/cron-rule.ts';

const BERLIN = 'Europe/Berlin';
const at = (text: string): number => Date.parse(text);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** All times that a rule is due in [from, to), by asking for the next one. */
function dueIn(rule: CronRule, from: string, to: string): string[] {
  const found: string[] = [];
  for (let time = rule.nextDue(at(from) - 1); time !== undefined && time < at(to); time = rule.nextDue(time))
    found.push(new Date(time).toISOString());
  return found;
}

test.for([
  ['0 2 * * *', true],
  ['*/15 8-18 * * 1-5', true],
  ['0 3 * * 0', true],
  ['0 0 2 * * *', false],
  ['61 * * * *', false],
  ['@daily', false],
  ['0 0 31 4 *', false],
  ['', false],
] as const)('cron %j: %s', ([text, expected]) => {
  expect(isCron(text)).toBe(expected);
});

test('time zones', () => {
  expect(isTimeZone(BERLIN)).toBe(true);
  expect(isTimeZone('Europe/Nowhere')).toBe(false);
});

test('half past two: once on the day that has none, once on the day that has two', () => {
  const rule = new CronRule('30 2 * * *', BERLIN);
  expect(dueIn(rule, '2026-03-28T00:00:00Z', '2026-03-31T00:00:00Z')).toEqual([
    '2026-03-28T01:30:00.000Z',
    // The clock goes from two to three: as soon as that is over.
    '2026-03-29T01:00:00.000Z',
    '2026-03-30T00:30:00.000Z',
  ]);
  expect(dueIn(rule, '2026-10-24T00:00:00Z', '2026-10-27T00:00:00Z')).toEqual([
    '2026-10-24T00:30:00.000Z',
    '2026-10-25T00:30:00.000Z',
    '2026-10-26T01:30:00.000Z',
  ]);
});

test('each quarter of an hour is each quarter of an hour, whatever the clock does', () => {
  const rule = new CronRule('*/15 * * * *', BERLIN);
  for (const day of ['2026-03-29', '2026-10-25']) {
    const due = dueIn(rule, `${day}T00:00:00Z`, `${day}T03:00:00Z`).map(at);
    expect(due).toEqual(Array.from({ length: 12 }, (_, n) => at(`${day}T00:00:00Z`) + n * 15 * MINUTE));
  }
});

test('a day that a zone left out altogether, and a leap day', () => {
  expect(
    dueIn(new CronRule('0 9 * * *', 'Pacific/Apia'), '2011-12-29T00:00:00Z', '2012-01-01T00:00:00Z'),
  ).toEqual([
    '2011-12-29T19:00:00.000Z',
    // The 30th: as soon as it is over. Then the 31st.
    '2011-12-30T10:00:00.000Z',
    '2011-12-30T19:00:00.000Z',
    '2011-12-31T19:00:00.000Z',
  ]);
  const leap = new CronRule('0 0 29 2 *', 'UTC');
  expect(leap.latestDue(at('2026-11-25T00:00:00Z'))).toBe(at('2024-02-29T00:00:00Z'));
  expect(leap.nextDue(at('2026-11-25T00:00:00Z'))).toBe(at('2028-02-29T00:00:00Z'));
});

const rules = fc.record({
  cron: fc.constantFrom(
    '30 2 * * *',
    '0 2 * * 0',
    '*/20 * * * *',
    '5 1-3 * * *',
    '59 23 31 * *',
    '0 0 * * *',
  ),
  zone: fc.constantFrom(
    'UTC',
    BERLIN,
    'America/New_York',
    'Australia/Lord_Howe',
    'Asia/Kolkata',
    'America/Havana',
  ),
});
/** Around times when clocks are set, and any. */
const times = fc
  .tuple(
    fc.constantFrom(
      '2026-03-29T01:00:00Z',
      '2026-10-25T01:00:00Z',
      '2026-11-01T06:00:00Z',
      '2026-06-15T00:00:00Z',
    ),
    fc.integer({ min: -48 * 60, max: 48 * 60 }),
  )
  .map(([text, minutes]) => at(text) + minutes * MINUTE);

test('the latest time is not after now, and the next one to come from just before it is itself', () => {
  fc.assert(
    fc.property(rules, times, ({ cron, zone }, now) => {
      const rule = new CronRule(cron, zone);
      const latest = rule.latestDue(now);
      const next = rule.nextDue(now);
      expect(latest).toBeLessThanOrEqual(now);
      expect(next).toBeGreaterThan(now);
      expect(rule.nextDue((latest ?? 0) - 1)).toBe(latest);
      expect(rule.latestDue(next ?? 0)).toBe(next);
      // Nothing lies between the two.
      expect(rule.nextDue(latest ?? 0)).toBe(next);
    }),
    { numRuns: 60 },
  );
});

test('a rule of one time of day is due once on each day of its zone', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1439 }),
      fc.constantFrom(BERLIN, 'America/New_York', 'Australia/Lord_Howe'),
      (minute, zone) => {
        const rule = new CronRule(`${minute % 60} ${Math.floor(minute / 60)} * * *`, zone);
        const from = at('2026-03-20T00:00:00Z');
        let due = rule.nextDue(from) ?? 0;
        for (let day = 0; day < 25; day += 1) {
          const next = rule.nextDue(due) ?? 0;
          expect(Math.abs(next - due - 24 * HOUR)).toBeLessThanOrEqual(HOUR);
          due = next;
        }
      },
    ),
    { numRuns: 12 },
  );
});
