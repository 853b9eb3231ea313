import { displayRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';

/** When a table was witnessed last; undefined: never. */
export interface Candidate extends RelationName {
  readonly bytes: bigint;
  readonly lastWitnessed: string | undefined;
}

/**
 * The order in which tables are looked at when there is not time for all: those that waited longest first, so that
 * all come round; of equals the large ones, so that workers end together.
 */
export function rotation<T extends Candidate>(tables: readonly T[]): T[] {
  return tables.toSorted(
    (one, other) =>
      order(one.lastWitnessed ?? '', other.lastWitnessed ?? '') ||
      order(other.bytes, one.bytes) ||
      order(displayRelation(one), displayRelation(other)),
  );
}

function order<T extends string | bigint>(one: T, other: T): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
