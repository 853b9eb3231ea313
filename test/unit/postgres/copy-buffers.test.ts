import { expect, test } from 'vitest';
import { CopyBuffers } from '../../../src/postgres/copy-out.ts';

test('no more buffers are made than agreed, and a waiter hears of one that comes back', () => {
  const buffers = new CopyBuffers({ bytes: 8, most: 2 });
  let heard = 0;
  const whenFree = (): number => (heard += 1);
  const first = buffers.take(whenFree);
  expect(first).toHaveLength(8);
  expect(buffers.take(whenFree)).toHaveLength(8);
  expect(buffers.take(whenFree)).toBeUndefined();
  expect(heard).toBe(0);
  // The last buffer of a stream is given back as the part that was filled.
  buffers.give(first?.subarray(0, 3) ?? Buffer.alloc(0));
  expect(heard).toBe(1);
  expect(buffers.take(whenFree)).toHaveLength(8);
});
