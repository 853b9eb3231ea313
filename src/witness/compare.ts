import { displayRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import { isSameDigest } from './digest-statement.ts';
import type { TableDigest } from './digest-statement.ts';

export interface WitnessedTable extends RelationName {
  readonly digest: TableDigest;
}

export type TableVerdict = RelationName &
  (
    | { readonly verdict: 'same'; readonly rows: bigint }
    | { readonly verdict: 'rows'; readonly expected: bigint; readonly found: bigint }
    /** As many rows, of other content. */
    | { readonly verdict: 'content'; readonly rows: bigint }
    | { readonly verdict: 'missing' }
  );

/** What a database has, table by table, against what was witnessed; tables that were not witnessed say nothing. */
export function compareTables(
  witnessed: readonly WitnessedTable[],
  found: readonly WitnessedTable[],
): TableVerdict[] {
  const there = new Map(found.map((table) => [displayRelation(table), table.digest]));
  return witnessed.map(({ schema, name, digest }): TableVerdict => {
    const other = there.get(displayRelation({ schema, name }));
    if (other === undefined) return { schema, name, verdict: 'missing' };
    if (other.rows !== digest.rows)
      return { schema, name, verdict: 'rows', expected: digest.rows, found: other.rows };
    if (!isSameDigest(digest, other)) return { schema, name, verdict: 'content', rows: digest.rows };
    return { schema, name, verdict: 'same', rows: digest.rows };
  });
}
