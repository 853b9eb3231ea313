import { displayRelation, quoteRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';

/** Where a sequence of the source was, some time. */
interface SequenceSample extends RelationName {
  readonly lastValue: string;
  readonly isCalled: boolean;
}

/**
 * Moves each sequence past all values that are known to have been used: its own position, the sample's, and those of
 * the columns that it fills. Never back, so a later sample than the target costs numbers, and an earlier one no
 * collision (REPLICATION I 39). The sequences that moved.
 */
export async function advanceSequences(
  connection: Connection,
  samples: readonly SequenceSample[],
): Promise<string[]> {
  const sampled = new Map(samples.map((sample) => [displayRelation(sample), sample]));
  const moved: string[] = [];
  const sequences = await connection.query<
    RelationName & {
      readonly isAscending: boolean;
      readonly columns: readonly string[];
      readonly least: string;
      readonly most: string;
    }
  >(sqlFile('target/sequence-columns'));
  for (const sequence of sequences) {
    const name = displayRelation(sequence);
    const sample = sampled.get(name);
    const furthest = sequence.isAscending ? 'greatest' : 'least';
    const known = ['CASE WHEN s.is_called THEN s.last_value END', '$2::bigint', ...sequence.columns];
    const [row] = await connection.query<{ moved: boolean }>(
      `WITH used AS (SELECT ${furthest}(${known.join(', ')}) AS value, s.last_value, s.is_called
                       FROM ${quoteRelation(sequence)} AS s),
            within AS (SELECT least(greatest(value, $3::bigint), $4::bigint) AS value, last_value, is_called
                         FROM used WHERE value IS NOT NULL)
       SELECT setval($1::regclass, value) IS NOT NULL AS "moved" FROM within WHERE value <> last_value OR NOT is_called`,
      [
        quoteRelation(sequence),
        sample?.isCalled === true ? sample.lastValue : null,
        sequence.least,
        sequence.most,
      ],
    );
    if (row?.moved === true) moved.push(name);
  }
  return moved;
}
