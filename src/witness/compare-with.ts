import { Failure } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import { compareTables } from './compare.ts';
import type { TableVerdict, WitnessedTable } from './compare.ts';
import { digestStatement, readDigest } from './digest-statement.ts';
import type { DigestedTable, TableDigest } from './digest-statement.ts';

/** A connection under the witness's own settings, to a database that nobody writes to. */
export interface DigestReader {
  query<Row extends object>(text: string): Promise<Row[]>;
}

/** A table as a witness has it. */
export interface Witnessed extends DigestedTable {
  readonly digest: TableDigest;
}

/**
 * Digests each witnessed table in another database, by all `readers` at once, and compares. A table that is not there,
 * or lacks a column, is `missing`. Fails with `check.empty` where there is nothing to compare.
 */
export async function compareWith(
  readers: readonly DigestReader[],
  tables: readonly Witnessed[],
  options: {
    readonly encoding: string;
    readonly signal: AbortSignal;
    readonly onTable: (table: RelationName) => void;
  },
): Promise<TableVerdict[]> {
  if (tables.length === 0) throw new Failure('check.empty', 'the witness has no table to compare');
  const queue = tables.values();
  const found: WitnessedTable[] = [];
  const work = async (reader: DigestReader): Promise<void> => {
    for (let table = queue.next().value; table !== undefined; table = queue.next().value) {
      options.signal.throwIfAborted();
      const digest = await digestOf(reader, table, options.encoding);
      if (digest !== undefined) found.push({ schema: table.schema, name: table.name, digest });
      options.onTable(table);
    }
  };
  // All have ended before one's failure is told: the caller closes their connections then.
  const running = readers.map(work);
  await Promise.allSettled(running);
  await Promise.all(running);
  return compareTables(tables, found);
}

/** Undefined table, or undefined column. */
const MISSING = new Set(['42P01', '42703', '3F000']);

async function digestOf(
  reader: DigestReader,
  table: DigestedTable,
  encoding: string,
): Promise<TableDigest | undefined> {
  try {
    const [row] = await reader.query<{ rows: string; lanes: string[] }>(digestStatement(table, encoding));
    if (row === undefined)
      throw new Failure('target.error', `no digest came back for ${displayRelation(table)}`);
    return readDigest(row);
  } catch (error) {
    if (error instanceof Failure && MISSING.has(String(error.facts['sqlstate']))) return undefined;
    throw error;
  }
}
