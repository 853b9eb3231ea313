import type { Relation } from '../postgres/inventory.ts';
import { planRanges, rangeRule } from './ranges.ts';
import type { BlockRange } from './ranges.ts';
import type { SelectedRelations } from './select.ts';

export interface TableSize {
  readonly heapBytes: bigint;
  /** Heap and TOAST. */
  readonly totalBytes: bigint;
  readonly indexBytes: bigint;
}

export interface PlannedTable {
  /** NNNNN in member names: 1, 2, … by schema and name. */
  readonly number: number;
  readonly relation: Relation;
  readonly size: TableSize;
  readonly ranges: readonly BlockRange[];
}

/** One unit of work: one COPY command. */
export interface PlannedRange {
  readonly table: PlannedTable;
  /** Position in `table.ranges`. */
  readonly index: number;
}

export interface SnapshotPlan {
  readonly tables: readonly PlannedTable[];
  /** Largest tables first, each table's ranges in order. */
  readonly work: readonly PlannedRange[];
  readonly totalBytes: bigint;
  readonly jobs: number;
}

/**
 * Cuts the selected tables into COPY commands. Pure: sizes come from the server after the snapshot was taken.
 * Only the heap access method has tids that order by block; any other is read whole.
 */
export function planSnapshot(
  selected: SelectedRelations,
  sizes: ReadonlyMap<string, TableSize>,
  options: { readonly jobs: number },
): SnapshotPlan {
  const sizeOf = (relation: Relation): TableSize =>
    sizes.get(relation.oid) ?? { heapBytes: 0n, totalBytes: 0n, indexBytes: 0n };
  const heapTotal = selected.tables.reduce((sum, relation) => sum + sizeOf(relation).heapBytes, 0n);
  const rule = rangeRule(heapTotal, options.jobs);
  const tables = selected.tables.map((relation, index): PlannedTable => {
    const size = sizeOf(relation);
    const splittable = relation.accessMethod === 'heap' && relation.columns.length > 0;
    return {
      number: index + 1,
      relation,
      size,
      ranges: splittable ? planRanges(size.heapBytes, rule) : [{}],
    };
  });
  const largestFirst = [...tables].sort((a, b) => Number(b.size.totalBytes - a.size.totalBytes));
  const work = largestFirst.flatMap((table) => table.ranges.map((_, index) => ({ table, index })));
  return {
    tables,
    work,
    totalBytes: tables.reduce((sum, table) => sum + table.size.totalBytes, 0n),
    jobs: Math.max(1, Math.min(options.jobs, work.length)),
  };
}
