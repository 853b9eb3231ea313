import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatCommitTime, isCommitTime, parseCommitTime } from '../../../src/model/commit-time.ts';
import { asLsn, formatLsn, lsnKey, parseLsn, parseLsnKey } from '../../../src/model/lsn.ts';
import type { Lsn } from '../../../src/model/lsn.ts';
import { applies, parseSnapshot, widenXid } from '../../../src/model/xid.ts';

const position = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }).map(asLsn);

test('an LSN comes back from both its texts, and keys sort as positions do', () => {
  fc.assert(
    fc.property(position, position, (one, other) => {
      expect(parseLsn(formatLsn(one))).toBe(one);
      expect(parseLsnKey(lsnKey(one))).toBe(one);
      expect(lsnKey(one) < lsnKey(other)).toBe(one < other);
    }),
  );
  expect(formatLsn(asLsn(0x16_b374d848n))).toBe('16/B374D848');
  expect(formatLsn(asLsn(0x0_019246e8n))).toBe('0/19246E8');
  expect(lsnKey(asLsn(0x16_b374d848n))).toBe('00000016B374D848');
  expect(parseLsn('f/0000000a')).toBe(0xf_0000000an);
});

test.for(['', '0', '0/', '/0', '0/123456789', '123456789/0', ' 0/0', '0/0\n', '0x0/0', '-1/0', '0/G'])(
  '%j is no LSN',
  (text) => expect(parseLsn(text)).toBeUndefined(),
);

test.for(['0', '00000016b374d848', '00000016B374D8480', '0000001/B374D848'])('%j is no key', (text) =>
  expect(parseLsnKey(text)).toBeUndefined(),
);

test('an LSN has 64 bits', () => {
  expect(() => asLsn(-1n)).toThrow(RangeError);
  expect(() => asLsn(1n << 64n)).toThrow(RangeError);
});

/** 64-bit xids near a multiple of 2^32, or anywhere. */
const xid64 = fc.oneof(
  fc
    .tuple(fc.bigInt({ min: 0n, max: 1000n }), fc.bigInt({ min: -50n, max: 50n }))
    .map(([epoch, near]) => epoch * 0x1_0000_0000n + near)
    .filter((xid) => xid >= 3n),
  fc.bigInt({ min: 3n, max: 1n << 60n }),
);
const low32 = (xid: bigint): number => Number(xid & 0xffff_ffffn);

test('I 14: an xid is widened to itself from anywhere within 2^31', () => {
  const distance = fc.oneof(
    fc.bigInt({ min: -0x8000_0000n, max: 0x7fff_ffffn }),
    fc.constantFrom(-0x8000_0000n, 0x7fff_ffffn, -1n, 0n, 1n),
  );
  fc.assert(
    fc.property(xid64, distance, (around, apart) => {
      fc.pre(around + apart >= 3n);
      expect(widenXid(low32(around + apart), around)).toBe(around + apart);
    }),
    { numRuns: 2000 },
  );
});

test('C3: each transaction is contained in the snapshot or applied, as the server would say', () => {
  const scenario = fc.record({
    xmin: xid64,
    width: fc.bigInt({ min: 0n, max: 40n }),
    running: fc.uniqueArray(fc.bigInt({ min: 0n, max: 39n }), { maxLength: 10 }),
    apart: fc.bigInt({ min: -60n, max: 60n }),
    commitLsn: fc.bigInt({ min: 0n, max: 300n }),
  });
  fc.assert(
    fc.property(scenario, ({ xmin, width, running, apart, commitLsn }) => {
      const xmax = xmin + width;
      const open = running.filter((at) => at < width).map((at) => xmin + at);
      const text = `${xmin}:${xmax}:${open.sort((a, b) => (a < b ? -1 : 1)).join(',')}`;
      const snapshot = parseSnapshot(text);
      if (snapshot === undefined) throw new Error(`not read: ${text}`);
      const xid = xmin + apart;
      fc.pre(xid >= 3n);
      const visible = xid < xmin || (xid < xmax && !open.includes(xid));
      const tie = { kind: 'xid', snapshot, scanFrom: asLsn(100n), upper: asLsn(200n) } as const;
      const expected = commitLsn >= 200n || (commitLsn >= 100n && !visible);
      expect(applies({ xid: low32(xid), commitLsn: asLsn(commitLsn) }, tie)).toBe(expected);
    }),
    { numRuns: 2000 },
  );
});

test('a tie by position is half-open', () => {
  const tie = { kind: 'position', lsn: asLsn(100n) } as const;
  const at = (lsn: bigint): { xid: number; commitLsn: Lsn } => ({ xid: 5, commitLsn: asLsn(lsn) });
  expect([99n, 100n, 101n].map((lsn) => applies(at(lsn), tie))).toEqual([false, true, true]);
});

test.for(['', '5', '5:4:', '5:9:4', '5:9:9', '5:9:7,6', '0:4:', '5:9:6,', 'a:9:', '5:99999999999999999999:'])(
  '%j is no snapshot',
  (text) => expect(parseSnapshot(text)).toBeUndefined(),
);

test('a commit time comes back to the microsecond, over all that Postgres has', () => {
  const time = fc.oneof(
    fc.bigInt({ min: -211_813_488_000_000_000n, max: 9_223_371_331_199_999_999n }),
    fc.bigInt({ min: -(10n ** 15n), max: 10n ** 15n }),
  );
  fc.assert(
    fc.property(time, (value) => {
      expect(parseCommitTime(formatCommitTime(value))).toBe(value);
    }),
    { numRuns: 2000 },
  );
});

test('it is what Date says, where Date can', () => {
  const epoch = Date.UTC(2000, 0, 1);
  fc.assert(
    fc.property(fc.integer({ min: -60_000_000_000_000, max: 250_000_000_000_000 }), (milliseconds) => {
      const iso = new Date(epoch + milliseconds).toISOString();
      expect(formatCommitTime(BigInt(milliseconds) * 1000n)).toBe(iso.replace('Z', '000Z'));
    }),
  );
});

test('I 38: nothing is rounded, and zones are honoured', () => {
  expect(formatCommitTime(0n)).toBe('2000-01-01T00:00:00.000000Z');
  expect(formatCommitTime(-1n)).toBe('1999-12-31T23:59:59.999999Z');
  expect(parseCommitTime('2026-11-23T10:01:59.123456Z')).toBe(848_743_319_123_456n);
  expect(parseCommitTime('2026-11-23 12:01:59.123456+02')).toBe(848_743_319_123_456n);
  expect(parseCommitTime('2026-11-23T04:31:59.1-05:30')).toBe(848_743_319_100_000n);
});

test('infinity is no commit time', () => {
  expect(formatCommitTime(0x7fff_ffff_ffff_ffffn)).toBe('infinity');
  expect(formatCommitTime(-0x8000_0000_0000_0000n)).toBe('-infinity');
  expect(isCommitTime(0x7fff_ffff_ffff_ffffn)).toBe(false);
  expect(parseCommitTime('infinity')).toBeUndefined();
  expect(() => formatCommitTime(9_223_371_331_200_000_000n)).toThrow(RangeError);
});

test.for([
  '2026-02-30T00:00:00Z',
  '2026-13-01T00:00:00Z',
  '2026-01-01T24:00:00Z',
  '2026-01-01T00:00:00',
  '2026-01-01T00:00:00.1234567Z',
  '2026-01-01',
  '+999999-01-01T00:00:00Z',
])('%s is refused', (text) => expect(parseCommitTime(text)).toBeUndefined());
