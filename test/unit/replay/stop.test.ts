import fc from 'fast-check';
import { expect, test } from 'vitest';
import { asLsn } from '../../../src/model/lsn.ts';
import { isMetAtEnd, stopsAfter, stopsBefore } from '../../../src/replay/stop.ts';
import type { StopTarget } from '../../../src/replay/stop.ts';
import type { SourceTransaction } from '../../../src/replay/transaction-cursor.ts';

/** Times go up and down along the commits, as clocks do. */
const history = fc
  .array(fc.record({ gap: fc.integer({ min: 1, max: 5 }), time: fc.integer({ min: 0, max: 20 }) }), {
    maxLength: 12,
  })
  .map((steps) => {
    let lsn = 100n;
    return steps.map(({ gap, time }, xid): SourceTransaction => {
      lsn += BigInt(gap);
      return { xid, commitLsn: asLsn(lsn), commitTime: BigInt(time) };
    });
  });

/** How many transactions are applied: the rule as a replay follows it. */
function applied(target: StopTarget, transactions: readonly SourceTransaction[]): number {
  for (const [place, transaction] of transactions.entries()) {
    if (stopsBefore(target, transaction)) return place;
    if (stopsAfter(target, transaction, transaction.xid === 3 ? ['three'] : [])) return place + 1;
  }
  return transactions.length;
}

test('P5, I 40: a time ends a replay before the first later commit, even when the clock goes back', () => {
  fc.assert(
    fc.property(history, fc.integer({ min: 0, max: 20 }), fc.boolean(), (transactions, at, exclusive) => {
      const isLate = ({ commitTime }: SourceTransaction): boolean =>
        exclusive ? commitTime >= BigInt(at) : commitTime > BigInt(at);
      const first = transactions.findIndex(isLate);
      expect(applied({ kind: 'time', time: BigInt(at), exclusive }, transactions)).toBe(
        first === -1 ? transactions.length : first,
      );
    }),
  );
});

test('a position takes the commits that start up to it, or before it', () => {
  fc.assert(
    fc.property(history, fc.bigInt({ min: 95n, max: 170n }), fc.boolean(), (transactions, at, exclusive) => {
      const taken = transactions.filter(({ commitLsn }) => (exclusive ? commitLsn < at : commitLsn <= at));
      expect(applied({ kind: 'lsn', lsn: asLsn(at), exclusive }, transactions)).toBe(taken.length);
    }),
  );
});

test('an xid of 64 bits is told by its lower half; a mark by its name', () => {
  const transactions = [1, 2, 3, 4].map((xid): SourceTransaction => ({
    xid,
    commitLsn: asLsn(BigInt(xid)),
    commitTime: 0n,
  }));
  const xid = (7n << 32n) + 3n;
  expect(applied({ kind: 'xid', xid, exclusive: false }, transactions)).toBe(3);
  expect(applied({ kind: 'xid', xid, exclusive: true }, transactions)).toBe(2);
  expect(applied({ kind: 'mark', name: 'three' }, transactions)).toBe(3);
  expect(applied({ kind: 'mark', name: 'four' }, transactions)).toBe(4);
  expect(applied({ kind: 'latest' }, transactions)).toBe(4);
});

test('P5: input that ends shows a target as met only when nothing more can belong to it', () => {
  const reach = { position: asLsn(100n), time: 50n };
  const met = (target: StopTarget): boolean => isMetAtEnd(target, reach);
  const lsn = (at: bigint, exclusive: boolean) => met({ kind: 'lsn', lsn: asLsn(at), exclusive });
  const time = (at: bigint, exclusive: boolean) => met({ kind: 'time', time: at, exclusive });
  expect(met({ kind: 'latest' })).toBe(true);
  expect([lsn(99n, false), lsn(100n, false), lsn(100n, true), lsn(101n, true)]).toEqual([
    true,
    false,
    true,
    false,
  ]);
  expect([time(49n, false), time(50n, false), time(50n, true), time(51n, true)]).toEqual([
    true,
    false,
    true,
    false,
  ]);
  expect(isMetAtEnd({ kind: 'time', time: 1n, exclusive: false }, { ...reach, time: undefined })).toBe(false);
  expect(met({ kind: 'xid', xid: 1n, exclusive: false })).toBe(false);
  expect(met({ kind: 'mark', name: 'm' })).toBe(false);
});
