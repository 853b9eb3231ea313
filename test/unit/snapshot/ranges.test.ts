import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planRanges, rangeBlocks } from '../../../src/snapshot/ranges.ts';

test('I 54: ranges partition all block numbers, also those beyond the size that was read', () => {
  fc.assert(
    fc.property(
      fc.bigInt(0n, 1n << 44n),
      fc.integer({ min: 1, max: 1 << 20 }),
      fc.nat(2 ** 32 - 2),
      (bytes, blocks, block) => {
        fc.pre(Number(bytes / 8192n) / blocks < 50_000);
        const ranges = planRanges(bytes, blocks);
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

test('a snapshot of any size stays below some 50 000 members', () => {
  for (const bytes of [0n, 1n << 30n, 1n << 40n, 1n << 46n]) {
    expect(planRanges(bytes, rangeBlocks(bytes)).length).toBeLessThanOrEqual(20_001);
  }
});
