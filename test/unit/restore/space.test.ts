import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { TableEntry } from '../../../src/archive/manifest.ts';
import { refuseTooSmall, spaceLine, spaceNeed } from '../../../src/restore/space.ts';
import type { TargetDisk } from '../../../src/restore/space.ts';

const table = (more: Partial<TableEntry>): TableEntry =>
  ({ columns: ['a', 'b'], data: 'included', rows: '1000', copyBytes: '100000', ...more }) as TableEntry;
const manifest = { parts: [] };
const ROWS = 100_000 + 1000 * (28 + 2 * 12);

test.for([
  ['no more than on the source', { tableBytes: '8192', indexBytes: '4096' }, 8192, 4096],
  [
    'no more than its rows take, however bloated the source is',
    { tableBytes: '999999999', indexBytes: '5' },
    ROWS,
    5,
  ],
  ['by its rows, where an older snapshot does not say', {}, ROWS, ROWS / 2],
  [
    'as on the source, where pg_dump holds the rows',
    { data: 'dumped', copyBytes: '0', tableBytes: '7', indexBytes: '1' },
    7,
    1,
  ],
] as const)('a table takes %s', ([, more, tables, indexes]) => {
  expect(spaceNeed([table(more)], manifest)).toEqual({
    tables: Math.ceil(1.1 * tables),
    indexes: Math.ceil(1.1 * indexes),
    largeObjects: 0,
  });
});

test('large objects count by their dump, unless only definitions are wanted', () => {
  const parts = [{ role: 'large-objects' as const, name: '', sha256: '', sizeBytes: 77 }];
  expect(spaceNeed([table({})], { parts }).largeObjects).toBe(77);
  expect(spaceNeed([], { parts }).largeObjects).toBe(0);
});

const need = { tables: 60_000_000, indexes: 30_000_000, largeObjects: 0 };
const disk = (freeBytes: number, more: Partial<TargetDisk & object> = {}): TargetDisk => ({
  volumes: [{ directory: '/data/base', freeBytes, holdsTables: true, holdsWal: true }],
  walBytes: 10_000_000,
  takenBytes: 0,
  ...more,
});

test('refused exactly when less is free than tables, indexes and kept WAL take', () => {
  fc.assert(
    fc.property(fc.nat(300_000_000), fc.nat(120_000_000), (free, takenBytes) => {
      const left = Math.max(0, 90_000_000 - takenBytes);
      const wanted = left + Math.min(left, 10_000_000);
      const act = () => refuseTooSmall(need, disk(free, { takenBytes }));
      // Parts are rounded one by one.
      if (free < wanted - 2) expect(act).toThrow(expect.objectContaining({ code: 'target.space' }));
      if (free > wanted + 2) expect(act).not.toThrow();
    }),
  );
  expect(() => refuseTooSmall(need, disk(1_000_000))).toThrow(
    'the target has 1.0 MB free at /data/base, the restore needs about 100 MB there: tables 60.0 MB, indexes 30.0 MB, WAL 10.0 MB',
  );
});

test('each volume is judged by what lies on it', () => {
  const volume = { directory: '/fast', freeBytes: 95_000_000, holdsTables: true, holdsWal: false };
  const wal = { directory: '/data/pg_wal', freeBytes: 9_000_000, holdsTables: false, holdsWal: true };
  const volumes = [volume, wal];
  expect(() => refuseTooSmall(need, disk(0, { volumes }))).toThrow('free at /data/pg_wal');
  expect(() => refuseTooSmall(need, disk(0, { volumes, walBytes: 8_000_000 }))).not.toThrow();
});

test('what is not known refuses nothing, and is said in one line', () => {
  const unknown = { unknown: 'the server’s data directory is not on this machine' };
  expect(() => refuseTooSmall(need, unknown)).not.toThrow();
  expect(spaceLine(need, unknown)).toBe(
    'about 90.0 MB will be taken on the target (tables 60.0 MB, indexes 30.0 MB), and WAL; what is free there is not known: the server’s data directory is not on this machine',
  );
  expect(spaceLine(need, disk(500_000_000))).toBe(
    'about 100 MB of 500 MB free at /data/base (tables 60.0 MB, indexes 30.0 MB, WAL 10.0 MB) will be taken on the target',
  );
});
