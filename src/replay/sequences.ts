import { displayRelation, quoteRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';

/** What is known of the source's sequences besides the rows. */
export interface UsedNumbers {
  /** By `displayRelation`: the least and the most that a sequence was seen at, some of them later than the target. */
  readonly samples: ReadonlyMap<string, { readonly least: string; readonly most: string }>;
  /** Steps that a sequence may have made unseen: it is moved so much further. 0: none. */
  readonly margin: number;
}

interface Sequence extends RelationName {
  readonly isAscending: boolean;
  readonly increment: string;
  readonly start: string;
  readonly columns: readonly string[];
  readonly least: string;
  readonly most: string;
}

/**
 * Moves each sequence past all values that are known to have been used: its own position, the samples', and those of
 * the columns that it fills, and by the margin further, but by no more than a hundredth of what it has left. Never
 * back, so a later sample than the target costs numbers, and an earlier one no collision (REPLICATION I 39). The
 * sequences that moved.
 */
export async function advanceSequences(
  connection: Connection,
  { samples, margin }: UsedNumbers,
): Promise<string[]> {
  const moved: string[] = [];
  for (const sequence of await connection.query<Sequence>(sqlFile('target/sequence-columns'))) {
    const name = displayRelation(sequence);
    const sample = samples.get(name);
    const [row] = await connection.query<{ moved: boolean }>(statementFor(sequence), [
      quoteRelation(sequence),
      (sequence.isAscending ? sample?.most : sample?.least) ?? null,
      sequence.least,
      sequence.most,
      margin,
      sequence.increment,
      margin > 0 && sequence.columns.length === 0 ? sequence.start : null,
    ]);
    if (row?.moved === true) moved.push(name);
  }
  return moved;
}

/** Numeric: a position beside the end of its type leaves no room for sums. */
function statementFor(sequence: Sequence): string {
  const { isAscending, columns } = sequence;
  const [furthest, nearest, end] = isAscending ? ['greatest', 'least', '$4'] : ['least', 'greatest', '$3'];
  const known = ['CASE WHEN s.is_called THEN s.last_value END', '$2::bigint', ...columns];
  return `WITH used AS (SELECT coalesce(${furthest}(${known.join(', ')}), $7::bigint)::numeric AS value, s.last_value, s.is_called
                          FROM ${quoteRelation(sequence)} AS s),
               ahead AS (SELECT ${furthest}(value, trunc(${nearest}(value + $5::numeric * $6::numeric, value + (${end}::numeric - value) / 100))) AS value,
                                last_value, is_called
                           FROM used WHERE value IS NOT NULL),
               within AS (SELECT least(greatest(value, $3::numeric), $4::numeric)::bigint AS value, last_value, is_called FROM ahead)
          SELECT setval($1::regclass, value) IS NOT NULL AS "moved" FROM within WHERE value <> last_value OR NOT is_called`;
}
