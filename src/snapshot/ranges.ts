/**
 * What one COPY command reads of a table, in heap blocks. No `from`: open below. No `to`: open above.
 * Both absent: the whole table, without a ctid condition.
 */
export interface BlockRange {
  readonly from?: number;
  readonly to?: number;
}

const BLOCK_BYTES = 8192;
const MIB_BLOCKS = 128;
/** Below it the seams between ranges would show. */
const LEAST_RANGE_BLOCKS = 16 * MIB_BLOCKS;
/** A restore, perhaps with more connections than this snapshot, shares ranges out too. */
const MOST_RANGE_BLOCKS = 256 * MIB_BLOCKS;
const MOST_WHOLE_BLOCKS = 1024 * MIB_BLOCKS;
/** Each range is a command of its own, here and in every restore. */
const MOST_RANGES = 10_000;

/** How the tables of one snapshot are cut, in heap blocks. */
export interface RangeRule {
  /** A table up to this size is one range. */
  readonly wholeBlocks: number;
  readonly rangeBlocks: number;
}

/**
 * One rule for all tables of a snapshot. Reading by ctid costs the server a fifth more than reading a table
 * whole, so only tables are cut that would keep one worker busy when the others have nothing left, and those
 * that a restore would wait for.
 */
export function rangeRule(totalHeapBytes: bigint, jobs: number): RangeRule {
  const total = Number(totalHeapBytes / BigInt(BLOCK_BYTES));
  const share = (parts: number): number => Math.ceil(total / (jobs * parts));
  const rangeBlocks = Math.max(
    Math.min(Math.max(share(8), LEAST_RANGE_BLOCKS), MOST_RANGE_BLOCKS),
    Math.ceil(total / MOST_RANGES),
  );
  const wholeBlocks = jobs === 1 ? MOST_WHOLE_BLOCKS : Math.min(share(2), MOST_WHOLE_BLOCKS);
  return { rangeBlocks, wholeBlocks: Math.max(wholeBlocks, rangeBlocks) };
}

/**
 * Cuts a heap into ranges that together hold every tid, whatever the size says: the first has no lower and
 * the last no upper bound. Rows may lie beyond the size that was read if the table grew after that, and a
 * plan from `relpages` would lose them while every count agrees (REPLICATION, I 54).
 */
export function planRanges(heapBytes: bigint, rule: RangeRule): readonly BlockRange[] {
  const total = Number(heapBytes / BigInt(BLOCK_BYTES));
  const count = Math.ceil(total / rule.rangeBlocks);
  if (total <= rule.wholeBlocks || count <= 1) return [{}];
  return Array.from({ length: count }, (_, index) => ({
    ...(index > 0 && { from: index * rule.rangeBlocks }),
    ...(index < count - 1 && { to: (index + 1) * rule.rangeBlocks }),
  }));
}
