import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planRanges, rangeRule } from '../../../src/snapshot/ranges.ts';

test('I 54: ranges partition all block numbers, also those beyond the size that was read', () => {
  fc.assert(
    fc.property(
      fc.bigInt(0n, 1n << 44n),
      fc.integer({ min: 1, max: 1 << 20 }),
      fc.nat(2 ** 32 - 2),
      (bytes, blocks, block) => {
        fc.pre(Number(bytes / 8192n) / blocks < 50_000);
        const ranges = planRanges(bytes, { rangeBlocks: blocks, wholeBlocks: 0 });
        expect(ranges[0]?.from).toBeUndefined();
        expect(ranges.at(-1)?.to).toBeUndefined();
        const holding = ranges.filter(
          (range) => block >= (range.from ?? 0) && block < (range.to ?? Infinity),
        );
        expect(holding).toHaveLength(1);
      },
    ),
  );
});

test('a table of any size has at most some 10 000 ranges', () => {
  for (const bytes of [0n, 1n << 30n, 1n << 40n, 1n << 46n]) {
    for (const jobs of [1, 4, 64]) {
      expect(planRanges(bytes, rangeRule(bytes, jobs)).length).toBeLessThanOrEqual(10_001);
    }
  }
});

test('a table is cut when one worker alone would take too long over it', () => {
  const MIB = 1n << 20n;
  const rule = rangeRule(1024n * MIB, 2);
  expect(planRanges(200n * MIB, rule)).toEqual([{}]);
  expect(planRanges(600n * MIB, rule).length).toBeGreaterThan(5);
  // One worker gains nothing by it, but a restore does.
  expect(planRanges(600n * MIB, rangeRule(1024n * MIB, 1))).toEqual([{}]);
  expect(planRanges(2048n * MIB, rangeRule(2048n * MIB, 1)).length).toBeGreaterThan(5);
});
