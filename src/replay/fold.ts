import { updateShape } from './row-change.ts';
import type { RowChange } from './row-change.ts';

/**
 * One change that does what two of one row do, and still asserts that the row is there, or is not: an update joins
 * the insert or update before it, a delete takes an update's place. Undefined where there is none: a row that is inserted
 * and deleted would leave nothing to assert. Neither may change the key, by which both find the row.
 */
export function fold(before: RowChange, after: RowChange): RowChange | undefined {
  if (after.kind === 'delete') return before.kind === 'update' ? after : undefined;
  if (after.kind !== 'update' || before.row === undefined || after.row === undefined) return undefined;
  const row = after.row.filledFrom(before.row);
  if (before.kind === 'insert') return { ...before, row };
  if (row === after.row && before.shape === after.shape) return after;
  const sets = [...new Set([...before.sets, ...after.sets])].sort((a, b) => a - b);
  return { ...after, row, sets, shape: updateShape(sets) };
}
