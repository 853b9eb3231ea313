import { expect, test } from 'vitest';
import { parseRate } from '../../../src/model/quantities.ts';

test.for([
  ['20MB/s', 20_000_000],
  ['20MB', 20_000_000],
  ['1.5 MiB/s', 1_572_864],
  ['100kb/s', 100_000],
  ['20', undefined],
  ['20/s', undefined],
  ['20B/s', undefined],
  ['20Mbit/s', undefined],
  ['20MB/min', undefined],
  ['MB/s', undefined],
  ['-5MB/s', undefined],
] as const)('the rate %s is %s', ([text, bytesPerSecond]) => {
  expect(parseRate(text)).toBe(bytesPerSecond);
});
