import fc from 'fast-check';
import { expect, test } from 'vitest';
import { inParts, partBytes } from '../../../src/storage/s3-parts.ts';

const MIB = 1024 * 1024;

test('any object that S3 can hold fits into its 10 000 parts, none above 5 GiB', () => {
  let total = 0;
  for (let number = 1; number <= 10_000; number += 1) {
    expect(partBytes(number)).toBeGreaterThanOrEqual(partBytes(Math.max(1, number - 1)));
    total += partBytes(number);
  }
  expect(total).toBeGreaterThan(5 * 1024 * 1024 * MIB);
  expect(partBytes(1)).toBeGreaterThanOrEqual(5 * MIB);
  expect(partBytes(10_000)).toBeLessThanOrEqual(5 * 1024 * MIB);
});

test('parts are the body, each of the size asked for but the last', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 30 }),
      fc.integer({ min: 1, max: 25 }),
      async (chunks, size) => {
        const body = async function* (): AsyncGenerator<Uint8Array> {
          for (const chunk of chunks) yield await Promise.resolve(chunk);
        };
        const parts = await Array.fromAsync(inParts(body(), () => size));
        expect(Buffer.concat(parts).equals(Buffer.concat(chunks))).toBe(true);
        for (const part of parts.slice(0, -1)) expect(part).toHaveLength(size);
        for (const part of parts) expect(part.length).toBeGreaterThan(0);
      },
    ),
  );
});
