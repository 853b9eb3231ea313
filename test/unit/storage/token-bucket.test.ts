import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fullBucket, take } from '../../../src/storage/token-bucket.ts';

const BURST_MS = 100;
const rates = fc.integer({ min: 1000, max: 1_000_000_000 });
const asked = fc.array(
  fc.record({ bytes: fc.integer({ min: 1, max: 1_000_000 }), afterMs: fc.integer({ min: 0, max: 3000 }) }),
  { minLength: 1, maxLength: 60 },
);

/** Everyone asks at their time and moves their bytes when they were told to, late by as much as `lateMs`. */
function run(bytesPerSecond: number, requests: readonly { bytes: number; afterMs: number }[]) {
  let bucket = fullBucket(bytesPerSecond, BURST_MS);
  let nowMs = 0;
  return requests.map(({ bytes, afterMs }) => {
    nowMs += afterMs;
    const taken = take(bucket, bytes, nowMs);
    bucket = taken.bucket;
    return { bytes, askedMs: nowMs, mayMs: nowMs + taken.waitMs };
  });
}

test('in no interval more moves than the rate allows, the burst and one piece', () => {
  fc.assert(
    fc.property(rates, asked, (rate, requests) => {
      const moves = run(rate, requests);
      for (const [from, first] of moves.entries()) {
        let sum = 0;
        for (const move of moves.slice(from)) {
          sum += move.bytes;
          const allowed = (rate * (move.mayMs - first.mayMs + BURST_MS)) / 1000 + move.bytes;
          expect(sum).toBeLessThanOrEqual(allowed * (1 + 1e-9) + 1e-3);
        }
      }
    }),
  );
});

test('who asks first moves first, and nobody waits longer than what was asked before takes', () => {
  fc.assert(
    fc.property(rates, asked, (rate, requests) => {
      const moves = run(rate, requests);
      let before = 0;
      let last = 0;
      for (const move of moves) {
        expect(move.mayMs).toBeGreaterThanOrEqual(last);
        expect(move.mayMs - move.askedMs).toBeLessThanOrEqual((1000 * before) / rate + 1e-3);
        last = move.mayMs;
        before += move.bytes;
      }
    }),
  );
});

test('a steady stream gets the whole rate: nothing is lost to the waits', () => {
  fc.assert(
    fc.property(rates, fc.integer({ min: 1, max: 40 }), (rate, lateMs) => {
      let bucket = fullBucket(rate, BURST_MS);
      let nowMs = 0;
      const bytes = Math.ceil(rate / 20);
      for (let count = 0; count < 100; count += 1) {
        const taken = take(bucket, bytes, nowMs);
        bucket = taken.bucket;
        // A timer is always late; less than the burst makes no difference.
        if (taken.waitMs > 0) nowMs += taken.waitMs + lateMs;
      }
      expect(nowMs).toBeLessThanOrEqual((1000 * 100 * bytes) / rate + lateMs);
      expect(nowMs).toBeGreaterThanOrEqual((1000 * 99 * bytes) / rate - BURST_MS - 1e-3);
    }),
  );
});
