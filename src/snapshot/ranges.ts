/**
 * What one COPY command reads of a table, in heap blocks. No `from`: open below. No `to`: open above.
 * Both absent: the whole table, without a ctid condition.
 */
export interface BlockRange {
  readonly from?: number;
  readonly to?: number;
}

const BLOCK_BYTES = 8192;
/** About 16 MiB of heap: small enough to spread one table over all workers, large enough to cost nothing. */
const RANGE_BLOCKS = 2048;
/** A snapshot stays below some 50 000 members, most ranges having two or three parts. */
const MOST_RANGES = 20_000;

/** Blocks for each range, the same for all tables of a snapshot. */
export function rangeBlocks(totalHeapBytes: bigint): number {
  const total = Number(totalHeapBytes / BigInt(BLOCK_BYTES));
  return Math.max(RANGE_BLOCKS, Math.ceil(total / MOST_RANGES));
}

/**
 * Cuts a heap into ranges that together hold every tid, whatever the size says: the first has no lower and
 * the last no upper bound. Rows may lie beyond the size that was read if the table grew after that, and a
 * plan from `relpages` would lose them while every count agrees (REPLICATION, I 54).
 */
export function planRanges(heapBytes: bigint, blocks: number): readonly BlockRange[] {
  const total = Number(heapBytes / BigInt(BLOCK_BYTES));
  const count = Math.ceil(total / blocks);
  if (count <= 1) return [{}];
  return Array.from({ length: count }, (_, index) => ({
    ...(index > 0 && { from: index * blocks }),
    ...(index < count - 1 && { to: (index + 1) * blocks }),
  }));
}
