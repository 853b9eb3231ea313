import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { TableEntry } from '../../../src/archive/manifest.ts';
import { estimateLine, estimateTime } from '../../../src/restore/estimate.ts';

const plan = (copyBytes: number, indexBytes = 0, storedBytes = copyBytes / 4) => ({
  tables: [
    {
      columns: ['a'],
      rows: '0',
      data: 'included',
      copyBytes: String(copyBytes),
      tableBytes: String(copyBytes),
      indexBytes: String(indexBytes),
    } as unknown as TableEntry,
  ],
  copyBytes,
  storedBytes,
  preData: [],
  postData: [],
});
const speed = (digestsPerSecond: number, bytesPerSecond = 1e12, connections = 2) => ({
  digestsPerSecond,
  connections,
  repository: { bytes: 8_000_000, bytesPerSecond },
});

test('more bytes take longer, a faster server less long, and the range holds its middle', () => {
  const positive = fc.integer({ min: 1_000_000, max: 1_000_000_000 });
  fc.assert(
    fc.property(positive, positive, fc.integer({ min: 100_000, max: 10_000_000 }), (rows, more, digests) => {
      const one = estimateTime(plan(rows), speed(digests));
      const larger = estimateTime(plan(rows, more), speed(digests));
      const faster = estimateTime(plan(rows), speed(2 * digests));
      expect(one.lowMs).toBeLessThan(one.highMs);
      expect(larger.lowMs).toBeGreaterThan(one.lowMs);
      expect(faster.highMs).toBeCloseTo(one.highMs / 2, 3);
    }),
  );
});

test('a slow repository decides, shared by the connections or not', () => {
  const { lowMs, highMs } = estimateTime(plan(400_000_000), speed(1e9, 1_000_000));
  expect([lowMs, highMs]).toEqual([50_000, 100_000]);
});

test('engine pg_dump tells no COPY bytes: what the tables took stands for them', () => {
  const dumped = { ...plan(100_000_000), copyBytes: 0 };
  expect(estimateTime(dumped, speed(1e6)).highMs).toBeGreaterThan(1000);
});

test('the line says what it stands on', () => {
  expect(estimateLine(estimateTime(plan(100_000_000, 10_000_000), speed(1_000_000, 100e6)))).toMatch(
    /^\d.* to \d.* for 100 MB of rows and 11\.0 MB of indexes, by a small calculation on 2 connections of the target and by 8\.0 MB read from the repository at 100 MB\/s; its disk was not measured$/,
  );
});
