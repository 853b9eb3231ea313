import { quoteLiteral, quoteRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import type { CatalogReader } from './inventory.ts';

export interface SequencePosition {
  readonly oid: string;
  readonly lastValue: string;
  readonly isCalled: boolean;
}

const SEQUENCES_PER_QUERY = 200;

/**
 * Positions of sequences by oid. Not bound to a snapshot: read after it was taken they are at or past what
 * its rows show, which is the safe side.
 */
export async function readSequences(
  reader: CatalogReader,
  sequences: readonly (RelationName & { readonly oid: string })[],
): Promise<Map<string, SequencePosition>> {
  const positions = new Map<string, SequencePosition>();
  for (let at = 0; at < sequences.length; at += SEQUENCES_PER_QUERY) {
    const queries = sequences
      .slice(at, at + SEQUENCES_PER_QUERY)
      .map(
        (sequence) =>
          `SELECT ${quoteLiteral(sequence.oid)} AS "oid", last_value::text AS "lastValue", is_called AS "isCalled" FROM ${quoteRelation(sequence)}`,
      );
    for (const row of await reader.query<SequencePosition>(queries.join(' UNION ALL ')))
      positions.set(row.oid, row);
  }
  return positions;
}
