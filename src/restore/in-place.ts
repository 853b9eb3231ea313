import type { TableEntry } from '../archive/manifest.ts';
import type { StoredRange } from '../catalog/member-index.ts';
import { readRange } from '../catalog/read-range.ts';
import { Failure, throwIfAborted } from '../model/failure.ts';
import { displayRelation, quoteRelation } from '../model/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import { isPlatformSchema } from '../postgres/supabase.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { copyInStatement, wrongCount } from './load-data.ts';
import type { RestoreProgress } from './progress.ts';
import type { RestoreRequest } from './request.ts';
import type { RowSource } from './row-sources.ts';

interface InPlace {
  readonly tables: readonly TableEntry[];
  readonly index: ReadonlyMap<number, readonly StoredRange[]>;
  readonly sourceOf: (table: TableEntry) => RowSource;
  readonly onRange: (range: StoredRange) => void;
}

/**
 * Loads rows into tables that exist, all in one transaction: what was there before is replaced as a whole
 * (`clean`), or nothing changes. TRUNCATE without CASCADE refuses a table that one outside the set references.
 *
 * Foreign keys and ordinary triggers are off where the role may (session_replication_role); elsewhere tables
 * are filled in the order of their references, and triggers run.
 *
 * With `record`, tables are the platform's: emptied by DELETE, as TRUNCATE also refuses for references of tables that
 * are empty, and may be no right of the user's.
 */
export async function loadInPlace(
  connection: Connection,
  request: RestoreRequest,
  work: InPlace & { readonly record?: string },
): Promise<void> {
  await refuseUnfit(connection, request, work.tables);
  await connection.execute('BEGIN');
  const replica = await mayBeReplica(connection);
  if (request.clean && work.record !== undefined) await connection.execute(emptyingOf(work.tables));
  else if (request.clean && work.tables.length > 0) await truncate(connection, work.tables);
  await failpoint('restore.in-place-truncated');
  for (const table of replica ? work.tables : byReferences(work.tables)) {
    const source = work.sourceOf(table);
    for (const range of work.index.get(table.number) ?? []) {
      throwIfAborted(request.signal);
      const rows = await connection.copyIn(
        copyInStatement({ table, freeze: false }, source.manifest),
        readRange(range, source.read),
      );
      if (rows !== range.rows) throw wrongCount(table, { stored: range.rows, loaded: rows });
      work.onRange(range);
    }
  }
  await advanceOwnedSequences(connection, request, work.tables);
  if (replica) await connection.execute("SET LOCAL session_replication_role = 'origin'");
  if (work.record !== undefined) await connection.execute(work.record);
  await failpoint('restore.in-place-uncommitted');
  await connection.commit();
  await failpoint('restore.in-place-committed');
}

const ITEM = 'phase:existing-tables';

/** The same as a step of a larger restore, which is not done again when it goes on. */
export async function loadOnce(
  connection: Connection,
  request: RestoreRequest,
  work: InPlace & { readonly progress: RestoreProgress },
): Promise<void> {
  const { progress } = work;
  if (progress.has(ITEM)) return;
  await loadInPlace(connection, request, { ...work, record: progress.record([ITEM]) });
  progress.committed([ITEM]);
}

/** Tables in an order in which each follows those that it references; those of a cycle come as they are. */
export function byReferences(tables: readonly TableEntry[]): TableEntry[] {
  const byNumber = new Map(tables.map((table) => [table.number, table]));
  const ordered: TableEntry[] = [];
  const seen = new Set<TableEntry>();
  const visit = (table: TableEntry): void => {
    if (seen.has(table)) return;
    seen.add(table);
    for (const number of table.references) {
      const referenced = byNumber.get(number);
      if (referenced !== undefined) visit(referenced);
    }
    ordered.push(table);
  };
  for (const table of tables) visit(table);
  return ordered;
}

/** DELETE of all rows, of what references others first. */
export function emptyingOf(tables: readonly TableEntry[]): string {
  return byReferences(tables)
    .reverse()
    .map((table) => `DELETE FROM ONLY ${quoteRelation(table)};`)
    .join('\n');
}

/** Tables of the platform that hold rows, reference these and are not among them: their rows would hang in the air. */
export async function heldFast(connection: Connection, tables: readonly TableEntry[]): Promise<string[]> {
  const references = await connection.query<{ schema: string; name: string }>(sqlFile('target/references'), [
    tables.map((table) => quoteRelation(table)),
  ]);
  const held: string[] = [];
  for (const table of references.filter(({ schema }) => isPlatformSchema(schema))) {
    const [row] = await connection.query<{ filled: boolean }>(
      `SELECT EXISTS (SELECT FROM ${quoteRelation(table)}) AS "filled"`,
    );
    if (row?.filled === true)
      held.push(
        `${displayRelation(table)} references rows that would be replaced, and is not in the snapshot: empty it first`,
      );
  }
  return held;
}

/** Without CASCADE: a table outside the set that references one of them is never emptied along. */
async function truncate(connection: Connection, tables: readonly TableEntry[]): Promise<void> {
  try {
    await connection.execute(`TRUNCATE ONLY ${tables.map((table) => quoteRelation(table)).join(', ONLY ')}`);
  } catch (error) {
    if (!(error instanceof Failure) || error.facts['sqlstate'] !== '0A000') throw error;
    throw new Failure('target.blocked', 'a table outside the selection references one of these', {
      facts: { tables: tables.map((table) => displayRelation(table)).slice(0, 5) },
      remedy:
        'select the referencing tables too, or restore into an empty database and move the rows from there',
      cause: error,
    });
  }
}

export async function mayBeReplica(connection: Connection): Promise<boolean> {
  await connection.execute('SAVEPOINT replica');
  try {
    // By a statement: supautils on Supabase allows it only so (REPLICATION E2).
    await connection.execute("SET LOCAL session_replication_role = 'replica'");
    return true;
  } catch (error) {
    if (!(error instanceof Failure) || error.facts['sqlstate'] !== '42501') throw error;
    await connection.execute('ROLLBACK TO SAVEPOINT replica');
    return false;
  }
}

export async function refuseUnfit(
  connection: Connection,
  request: RestoreRequest,
  tables: readonly TableEntry[],
): Promise<void> {
  const names = tables.map((table) => quoteRelation(table));
  const rows = await connection.query<{ name: string; missing: boolean; always: boolean }>(
    `SELECT t.name, to_regclass(t.name) IS NULL AS "missing",
            EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(t.name) AND tgenabled IN ('A', 'R') AND NOT tgisinternal) AS "always"
       FROM unnest($1::text[]) AS t(name)`,
    [names],
  );
  const blockers = [
    ...rows.filter((row) => row.missing).map((row) => `${row.name} does not exist on the target`),
    ...rows
      .filter((row) => row.always)
      .map((row) => `${row.name} has a trigger that is ENABLE ALWAYS or REPLICA and would run`),
  ];
  blockers.push(...(await unfitColumns(connection, tables)));
  if (blockers.length > 0)
    throw new Failure('target.blocked', blockers.slice(0, 5).join('; '), { facts: { blockers } });
  if (request.clean) return;
  for (const table of tables) {
    const [row] = await connection.query<{ filled: boolean }>(
      `SELECT EXISTS (SELECT FROM ONLY ${quoteRelation(table)}) AS "filled"`,
    );
    if (row?.filled === true) {
      throw new Failure('target.not_empty', `${displayRelation(table)} holds rows`, {
        facts: { table: displayRelation(table) },
        remedy: 'pass --clean to replace its rows',
      });
    }
  }
}

/** Columns that are stored and can't be written to on the target: a platform's tables change with its version. */
async function unfitColumns(connection: Connection, tables: readonly TableEntry[]): Promise<string[]> {
  const columns = tables.flatMap((table) =>
    table.columns.map((column) => ({ table: quoteRelation(table), column })),
  );
  const rows = await connection.query<{ table: string; column: string; generated: boolean | null }>(
    `SELECT c."table", c."column", a.attgenerated <> '' AS "generated"
       FROM unnest($1::text[], $2::text[]) AS c("table", "column")
       LEFT JOIN pg_attribute a ON a.attrelid = to_regclass(c."table") AND a.attname = c."column" AND NOT a.attisdropped
      WHERE to_regclass(c."table") IS NOT NULL AND (a.attname IS NULL OR a.attgenerated <> '')`,
    [columns.map(({ table }) => table), columns.map(({ column }) => column)],
  );
  return rows.map(
    (row) =>
      `${row.table} ${row.generated === null ? 'has no column' : 'computes its column'} ${row.column} on the target`,
  );
}

/** Sequences behind the restored columns never fall behind the rows, and never go back. */
export async function advanceOwnedSequences(
  connection: Connection,
  request: RestoreRequest,
  tables: readonly TableEntry[],
): Promise<void> {
  const owned = await connection.query<{ schema: string; name: string }>(
    `SELECT n.nspname AS "schema", s.relname AS "name"
       FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
      WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
        AND d.refobjid = ANY (SELECT to_regclass(t) FROM unnest($1::text[]) AS t)`,
    [tables.map((table) => quoteRelation(table))],
  );
  for (const sequence of owned) {
    const stored = request.manifest.sequences.find(
      (entry) => entry.schema === sequence.schema && entry.name === sequence.name,
    );
    if (stored?.isCalled !== true) continue;
    await connection.query(
      `SELECT setval($1::regclass, greatest($2::bigint, last_value)) FROM ${quoteRelation(sequence)}`,
      [quoteRelation(sequence), stored.lastValue],
    );
  }
}
