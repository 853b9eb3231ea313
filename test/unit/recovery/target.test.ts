import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatCommitTime, parseCommitTime } from '../../../src/model/commit-time.ts';
import { instantsOf } from '../../../src/model/zoned-time.ts';
import { formatRecoveryTarget, parseRecoveryTarget } from '../../../src/recovery/target.ts';

test.for<[string, object]>([
  ['latest', { kind: 'latest' }],
  ['20261123T100159Z-7f3k2m', { kind: 'snapshot', id: '20261123T100159Z-7f3k2m' }],
  ['snapshot:abc', { kind: 'snapshot', id: 'abc' }],
  ['lsn:16/B374D848', { kind: 'lsn', lsn: 0x16_b374_d848n }],
  ['lsn:0/0', { kind: 'lsn', lsn: 0n }],
  ['xid:3', { kind: 'xid', xid: 3n }],
  ['xid:18446744073709551615', { kind: 'xid', xid: 0xffff_ffff_ffff_ffffn }],
  ['mark:before: the deploy', { kind: 'mark', name: 'before: the deploy' }],
  ['2026-11-23T10:01:59Z', { kind: 'time', time: parseCommitTime('2026-11-23T10:01:59Z') }],
  [
    '2026-11-23 10:01:59.123456+05:30',
    { kind: 'time', time: parseCommitTime('2026-11-23T04:31:59.123456Z') },
  ],
])('%s', ([text, expected]) => {
  const target = parseRecoveryTarget(text);
  expect(target).toMatchObject(expected);
  expect(parseRecoveryTarget(formatRecoveryTarget(target))).toEqual(target);
});

test.for([
  '',
  'Latest',
  'lsn:',
  'lsn:16',
  'lsn:x/y',
  'xid:0',
  'xid:2',
  'xid:-5',
  'xid:18446744073709551616',
  'xid:1e3',
  'mark:',
  '2026-13-01T00:00:00Z',
  '2026-02-29T00:00:00Z',
  '2026-11-23T25:00:00Z',
  'yesterday',
  '2026-11-23',
  'infinity',
  '2026-11-23T10:01:59',
  '2026-11-23T10:01:59.1234567Z',
  'snapshot',
])('%j is refused', (text) => {
  expect(() => parseRecoveryTarget(text)).toThrow(expect.objectContaining({ code: 'usage.invalid' }));
});

test('a time without a zone is refused, and taken with one', () => {
  expect(() => parseRecoveryTarget('2026-11-23T10:01:59')).toThrow(/no time zone/);
  const target = parseRecoveryTarget('2026-11-23 10:01:59.5', { timeZone: 'Europe/Berlin' });
  expect(formatRecoveryTarget(target)).toBe('2026-11-23T09:01:59.500000Z');
  expect(() => parseRecoveryTarget('2026-11-23T10:01:59', { timeZone: 'Mars/Olympus' })).toThrow(
    /not a time zone/,
  );
});

test('a local time that was never, or twice, is refused', () => {
  const timeZone = 'Europe/Berlin';
  expect(() => parseRecoveryTarget('2026-03-29T02:30:00', { timeZone })).toThrow(/never was/);
  expect(() => parseRecoveryTarget('2026-10-25T02:30:00', { timeZone })).toThrow(
    expect.objectContaining({
      remedy: 'write 2026-10-25T00:30:00.000000Z or 2026-10-25T01:30:00.000000Z',
    }),
  );
  for (const [local, utc] of [
    ['2026-03-29T01:59:59.999999', '2026-03-29T00:59:59.999999Z'],
    ['2026-03-29T03:00:00', '2026-03-29T01:00:00.000000Z'],
    ['2026-10-25T01:59:59', '2026-10-24T23:59:59.000000Z'],
    ['2026-10-25T03:00:00', '2026-10-25T02:00:00.000000Z'],
  ] as const)
    expect(formatRecoveryTarget(parseRecoveryTarget(local, { timeZone }))).toBe(utc);
});

test('zones far from UTC, of half hours, that skip a day, and before 1900', () => {
  const utc = (text: string, zone: string): string[] | undefined =>
    instantsOf(text, zone)?.map(formatCommitTime);
  expect(utc('2026-01-01T00:00', 'Pacific/Kiritimati')).toEqual(['2025-12-31T10:00:00.000000Z']);
  expect(utc('2026-01-01T00:00', 'Asia/Kathmandu')).toEqual(['2025-12-31T18:15:00.000000Z']);
  expect(utc('2026-04-05T01:45', 'Australia/Lord_Howe')).toHaveLength(2);
  // Samoa went over the date line: there was no 30 December 2011.
  expect(utc('2011-12-30T12:00', 'Pacific/Apia')).toEqual([]);
  expect(utc('1890-01-01T00:00:00', 'Europe/Berlin')).toEqual(['1889-12-31T23:06:32.000000Z']);
  expect(utc('2026-01-01T00:00Z', 'Europe/Berlin')).toBeUndefined();
});

test('every instant is among those of its own local time', () => {
  fc.assert(
    fc.property(
      fc.date({ min: new Date('1970-01-01'), max: new Date('2035-01-01'), noInvalidDate: true }),
      fc.constantFrom(
        'Europe/Berlin',
        'America/New_York',
        'Australia/Lord_Howe',
        'Asia/Kathmandu',
        'Pacific/Apia',
        'UTC',
      ),
      (date, timeZone) => {
        // Swedish writes times as ISO does: an oracle apart from ours.
        const local = date.toLocaleString('sv-SE', { timeZone });
        const instant = parseCommitTime(`${date.toISOString().slice(0, 19)}Z`);
        expect(instantsOf(local, timeZone)).toContain(instant);
      },
    ),
    { numRuns: 300 },
  );
});

test('--exclusive needs a point that it can leave out', () => {
  expect(parseRecoveryTarget('xid:5', { exclusive: true })).toMatchObject({ exclusive: true });
  expect(() => parseRecoveryTarget('latest', { exclusive: true })).toThrow(/nothing to leave out/);
  expect(() => parseRecoveryTarget('snapshot:x', { exclusive: true })).toThrow(/nothing to leave out/);
});
