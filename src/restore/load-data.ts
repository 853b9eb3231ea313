import type { TableEntry } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import { displayRelation, quoteIdentifier, quoteLiteral, quoteRelation } from '../model/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import { failpoint } from '../runtime/failpoints.ts';
import type { StoredRange } from '../catalog/member-index.ts';
import type { RestoreProgress } from './progress.ts';
import { readRange } from '../catalog/read-range.ts';
import type { RowSource } from './row-sources.ts';
import type { SchemaEntry } from './schema-script.ts';
import type { Task } from './share-out.ts';

/** Ranges of one table that one connection loads in one transaction. */
export interface LoadUnit {
  readonly table: TableEntry;
  readonly ranges: readonly StoredRange[];
  /** The unit is the whole table, and the table is ours to truncate: rows can be written frozen. */
  readonly freeze: boolean;
}

export interface LoadOptions {
  readonly sourceOf: (table: TableEntry) => RowSource;
  readonly progress: RestoreProgress;
  readonly signal: AbortSignal;
  readonly onRange: (range: StoredRange) => void;
}

/** A table below this is one unit, so that few transactions are made and all its rows can be frozen. */
const WHOLE_TABLE_BYTES = 32 * 1024 * 1024;

/**
 * Cuts the data into units, the most bytes first. A large table's ranges are units of their own: several
 * connections load it at once. FREEZE needs the table truncated in the same transaction (COPY), so only
 * tables of one unit get it, and only where `mayTruncate` (the restore made the table itself).
 */
export function loadUnits(
  tables: readonly TableEntry[],
  index: ReadonlyMap<number, readonly StoredRange[]>,
  options: { readonly mayTruncate: boolean },
): LoadUnit[] {
  const units = tables.flatMap((table): LoadUnit[] => {
    const ranges = index.get(table.number) ?? [];
    if (ranges.every((range) => range.rows === 0n)) return [];
    const bytes = ranges.reduce((sum, range) => sum + range.copyBytes, 0);
    if (bytes <= WHOLE_TABLE_BYTES || ranges.length === 1) {
      return [{ table, ranges, freeze: options.mayTruncate && table.kind !== 'extension-config' }];
    }
    return ranges.map((range) => ({ table, ranges: [range], freeze: false }));
  });
  return units.sort((a, b) => unitBytes(b) - unitBytes(a));
}

/**
 * Units to load, without those that this restore has loaded before. `isLoaded` tells of tables that have all
 * their rows; without any named, of all.
 */
export function loadTasks(
  units: readonly LoadUnit[],
  options: LoadOptions,
): { readonly tasks: Task[]; readonly isLoaded: (tables: readonly number[] | undefined) => boolean } {
  const waiting = units.filter((unit) => !unit.ranges.every((range) => options.progress.has(item(range))));
  const missing = new Map<number, number>();
  for (const { table } of waiting) missing.set(table.number, (missing.get(table.number) ?? 0) + 1);
  const tasks = waiting.map((unit) => ({
    run: async (connection: Connection): Promise<void> => {
      await loadUnit(connection, unit, options);
      missing.set(unit.table.number, (missing.get(unit.table.number) ?? 0) - 1);
    },
  }));
  const isMissing = (table: number): boolean => (missing.get(table) ?? 0) > 0;
  return {
    tasks,
    isLoaded: (tables = [...missing.keys()]) => !tables.some((table) => isMissing(table)),
  };
}

/** The numbers of the tables whose rows an index or a constraint stands on; undefined where it can't be told. */
export function tablesBelow(
  preData: readonly SchemaEntry[],
  tables: readonly Pick<TableEntry, 'oid' | 'number'>[],
): (entry: SchemaEntry) => readonly number[] | undefined {
  const numbers = new Map(tables.map((table) => [String(table.oid), table.number]));
  const definitions = new Map(
    preData.filter((entry) => entry.type === 'TABLE').map((entry) => [entry.dumpId, entry.oid]),
  );
  return (entry) => {
    const oids = entry.dependencies.flatMap((id) => definitions.get(id) ?? []);
    return oids.length === 0 ? undefined : oids.flatMap((oid) => numbers.get(oid) ?? []);
  };
}

async function loadUnit(connection: Connection, unit: LoadUnit, options: LoadOptions): Promise<void> {
  const source = options.sourceOf(unit.table);
  const items = unit.ranges.map((range) => item(range));
  await connection.execute('BEGIN');
  if (unit.freeze) await connection.execute(`TRUNCATE ONLY ${quoteRelation(unit.table)}`);
  await failpoint('restore.truncated');
  for (const range of unit.ranges) {
    const rows = await connection.copyIn(
      copyInStatement(unit, source.manifest),
      readRange(range, source.read),
    );
    if (rows !== range.rows) throw wrongCount(unit.table, { stored: range.rows, loaded: rows });
    options.onRange(range);
    await failpoint('restore.range-loaded');
  }
  await connection.execute(options.progress.record(items));
  await failpoint('restore.rows-uncommitted');
  await connection.commit();
  await failpoint('restore.rows-committed');
  options.progress.committed(items);
}

/** COPY of one table's stream under the encoding and format that it was written in. */
export function copyInStatement(
  unit: Pick<LoadUnit, 'table' | 'freeze'>,
  manifest: RowSource['manifest'],
): string {
  const columns = unit.table.columns.map((column) => quoteIdentifier(column)).join(', ');
  const list = columns === '' ? '' : ` (${columns})`;
  const freeze = unit.freeze ? ', FREEZE' : '';
  return (
    `COPY ${quoteRelation(unit.table)}${list} FROM STDIN ` +
    `WITH (FORMAT ${manifest.copyFormat}, ENCODING ${quoteLiteral(manifest.server.encoding)}${freeze})`
  );
}

export function wrongCount(
  table: TableEntry,
  rows: { readonly stored: bigint; readonly loaded: bigint },
): Failure {
  const name = displayRelation(table);
  return new Failure('target.row_count', `${name}: the target took ${rows.loaded} rows of ${rows.stored}`, {
    facts: { table: name, stored: rows.stored.toString(), loaded: rows.loaded.toString() },
  });
}

function unitBytes(unit: LoadUnit): number {
  return unit.ranges.reduce((sum, range) => sum + range.copyBytes, 0);
}

function item(range: StoredRange): string {
  return `range:${range.table}/${range.range}`;
}
