import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeMessage } from '../../../src/pgoutput/decode.ts';
import type { Relation } from '../../../src/pgoutput/decode.ts';
import { rowChange } from '../../../src/replay/row-change.ts';
import type { RowChange } from '../../../src/replay/row-change.ts';
import { TableRuns } from '../../../src/replay/table-runs.ts';
import type { Run } from '../../../src/replay/table-runs.ts';
import type { TargetTable } from '../../../src/replay/target-table.ts';
import { pgoutput } from '../../support/pgoutput-messages.ts';

const COLUMNS = [
  { name: 'id', key: true, type: 23 },
  { name: 'v', key: false, type: 25 },
];
const column = (quoted: string, isKey: boolean) => ({
  quoted,
  isKey,
  cast: (text: string) => text,
  isIdentityAlways: false,
  isUnique: false,
});
const TABLE: TargetTable = {
  relation: decodeMessage(pgoutput.relation(1, 'public', 't', COLUMNS), 'storage') as Relation,
  quoted: '"public"."t"',
  isPartitioned: false,
  columns: [column('"id"', true), column('"v"', false)],
  key: [{ column: 0, equals: '=' }],
  mayReorder: true,
  mayCollide: false,
};

type Op =
  | { readonly kind: 'insert'; readonly id: number; readonly v: number | null }
  | { readonly kind: 'delete'; readonly id: number; readonly v: number | null }
  | {
      readonly kind: 'update';
      readonly id: number;
      readonly to: number;
      readonly v: number | null | 'unchanged';
    };

const bytes = (value: number | null | 'unchanged') =>
  typeof value === 'number' ? Buffer.from(String(value)) : value;

function change(op: Op): RowChange {
  const message = (): Buffer => {
    if (op.kind === 'insert') return pgoutput.insert(1, [bytes(op.id), bytes(op.v)]);
    if (op.kind === 'delete') return pgoutput.delete(1, 'K', [bytes(op.id), null]);
    const old = op.id === op.to ? undefined : { mark: 'K' as const, row: [bytes(op.id), null] };
    return pgoutput.update(1, [bytes(op.to), bytes(op.v)], old);
  };
  const made = rowChange(decodeMessage(message(), 'storage'), TABLE);
  if (made === undefined) throw new Error('no change of a row');
  return made;
}

/** Only what can happen to rows that are there, or are not. */
const workload = fc
  .array(
    fc.record({
      id: fc.integer({ min: 0, max: 5 }),
      to: fc.integer({ min: 0, max: 5 }),
      v: fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constant(null), fc.constant('unchanged' as const)),
      remove: fc.boolean(),
    }),
    { maxLength: 40 },
  )
  .map((steps) => {
    const there = new Set<number>();
    return steps.map(({ id, to, v, remove }): Op => {
      if (!there.has(id)) {
        there.add(id);
        return { kind: 'insert', id, v: v === 'unchanged' ? 1 : v };
      }
      if (remove) {
        there.delete(id);
        return { kind: 'delete', id, v: null };
      }
      const target = there.has(to) ? id : to;
      there.delete(id);
      there.add(target);
      return { kind: 'update', id, to: target, v };
    });
  });

/** What set-based statements would do: all rows of a run are found before one is changed. */
function apply(rows: Map<string, string>, run: Run): void {
  const found = run.changes.map(({ old }) => {
    const key = old?.value(0)?.toString() ?? '';
    if (old !== undefined && !rows.has(key)) throw new Error(`no row ${key}`);
    return [key, rows.get(key) ?? ''] as const;
  });
  for (const [key] of found) rows.delete(key);
  for (const [place, { row }] of run.changes.entries()) {
    if (row === undefined) continue;
    const key = row.value(0)?.toString() ?? '';
    if (rows.has(key)) throw new Error(`two rows ${key}`);
    rows.set(key, row.kind(1) === 'u' ? (found[place]?.[1] ?? '') : (row.value(1)?.toString() ?? 'null'));
  }
}

/** Anything, also what can't happen to the rows that are there. */
const anything = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constantFrom('insert' as const, 'delete' as const),
      id: fc.integer({ min: 0, max: 3 }),
      v: fc.integer({ min: 0, max: 9 }),
    }),
    fc.record({
      kind: fc.constant('update' as const),
      id: fc.integer({ min: 0, max: 3 }),
      to: fc.integer({ min: 0, max: 3 }),
      v: fc.constantFrom(1, 2, null, 'unchanged' as const),
    }),
  ),
  { maxLength: 12 },
);

/** The rows in the end; undefined when a change did not fit them. */
function outcome(rows: ReadonlyMap<string, string>, runs: Iterable<Run>): Map<string, string> | undefined {
  const after = new Map(rows);
  try {
    for (const run of runs) apply(after, run);
    return after;
  } catch {
    return undefined;
  }
}

test('P6, net effect: folded changes end where they do one by one, or do not fit the rows either', () => {
  let folded = 0;
  let unfit = 0;
  fc.assert(
    fc.property(anything, fc.uniqueArray(fc.integer({ min: 0, max: 3 })), (ops, there) => {
      const rows = new Map(there.map((id) => [String(id), 'before']));
      const changes = ops.map((op) => change(op));
      const runs = new TableRuns(TABLE, { mayReorder: true });
      for (const each of changes) expect(runs.add(each)).toBe(true);
      const batch = runs.take();
      const made = (batch?.runs ?? []).reduce((sum, run) => sum + run.changes.length, 0);
      if (made < changes.length) {
        folded += 1;
        expect(batch?.isReordered).toBe(true);
      }
      const oneByOne = outcome(
        rows,
        changes.map((each) => ({ table: TABLE, shape: each.shape, changes: [each] })),
      );
      if (oneByOne === undefined) unfit += 1;
      expect(outcome(rows, batch?.runs ?? [])).toEqual(oneByOne);
    }),
    { numRuns: 3000 },
  );
  expect(Math.min(folded, unfit)).toBeGreaterThan(100);
});

test('a value that was not sent is the one that the row had, through any number of changes', () => {
  const runs = new TableRuns(TABLE, { mayReorder: true });
  runs.add(change({ kind: 'insert', id: 1, v: 7 }));
  for (let times = 0; times < 50_000; times += 1)
    runs.add(change({ kind: 'update', id: 1, to: 1, v: 'unchanged' }));
  const made = runs.take()?.runs.flatMap((run) => run.changes) ?? [];
  expect(made.map(({ kind, row }) => [kind, row?.value(1)?.toString()])).toEqual([['insert', '7']]);
});

test('a row that comes and goes waits for itself alone, some times', () => {
  const runs = new TableRuns(TABLE, { mayReorder: true });
  const toggle = (id: number): boolean =>
    runs.add(change({ kind: 'insert', id, v: 1 })) && runs.add(change({ kind: 'delete', id, v: null }));
  let times = 0;
  while (toggle(1)) times += 1;
  expect(times).toBe(16);
  expect(toggle(2)).toBe(true);
  expect(
    runs
      .take()
      ?.runs.map((run) => run.changes.length)
      .slice(0, 3),
  ).toEqual([2, 2, 1]);
  expect(toggle(1)).toBe(true);
});

test.for([true, false])(
  'H3: runs of one statement each end where the changes one by one do; reordering %s',
  (mayReorder) => {
    fc.assert(
      fc.property(workload, (ops) => {
        const changes = ops.map((op) => change(op));
        const oneByOne = new Map<string, string>();
        for (const each of changes) apply(oneByOne, { table: TABLE, shape: each.shape, changes: [each] });
        const inRuns = new Map<string, string>();
        const runs = new TableRuns(TABLE, { mayReorder });
        let taken = 0;
        const take = (): void => {
          for (const run of runs.take()?.runs ?? []) {
            taken += run.changes.length;
            apply(inRuns, run);
          }
        };
        for (const each of changes) {
          if (runs.add(each)) continue;
          take();
          expect(runs.add(each)).toBe(true);
        }
        take();
        if (!mayReorder) expect(taken).toBe(changes.length);
        expect(inRuns).toEqual(oneByOne);
      }),
      { numRuns: 500 },
    );
  },
);

test('changes of different rows pass each other only where nothing but the key keeps them apart', () => {
  const count = (mayReorder: boolean): number => {
    const runs = new TableRuns(TABLE, { mayReorder });
    const ops: Op[] = [1, 2, 3].flatMap((id) => [
      { kind: 'insert', id, v: 1 },
      { kind: 'delete', id: id + 10, v: null },
    ]);
    let taken = 0;
    for (const op of ops) {
      if (runs.add(change(op))) continue;
      taken += runs.take()?.runs.length ?? 0;
      runs.add(change(op));
    }
    return taken + (runs.take()?.runs.length ?? 0);
  };
  expect(count(true)).toBe(2);
  expect(count(false)).toBe(6);
});

test('I 30: a value that was not sent is not set, nor is a key that stays', () => {
  expect(change({ kind: 'update', id: 1, to: 1, v: 5 }).sets).toEqual([1]);
  expect(change({ kind: 'update', id: 1, to: 1, v: 'unchanged' }).sets).toEqual([]);
  expect(change({ kind: 'update', id: 1, to: 2, v: 'unchanged' }).sets).toEqual([0]);
  expect(change({ kind: 'update', id: 1, to: 2, v: null }).sets).toEqual([0, 1]);
});

test.for<[string, Buffer]>([
  ['too few values', pgoutput.insert(1, [Buffer.from('1')])],
  ['too many', pgoutput.insert(1, [Buffer.from('1'), null, null])],
  ['an insert that lacks a value', pgoutput.insert(1, [Buffer.from('1'), 'unchanged'])],
  ['an old row that lacks one', pgoutput.delete(1, 'O', [Buffer.from('1'), 'unchanged'])],
  ['a value in binary', binary(pgoutput.insert(1, [Buffer.from('1'), null]))],
])('refuses %s', ([, message]) => {
  expect(() => rowChange(decodeMessage(message, 'storage'), TABLE)).toThrow(
    expect.objectContaining({ code: 'integrity.format' }),
  );
});

/** Its first value. */
function binary(message: Buffer): Buffer {
  const changed = Buffer.from(message);
  changed[changed.indexOf('t', 6)] = 0x62;
  return changed;
}
