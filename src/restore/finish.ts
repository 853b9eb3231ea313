import type { Manifest, MaterializedViewEntry, SequenceEntry, TableEntry } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import { displayRelation, quoteIdentifier, quoteRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import { shareOut } from './share-out.ts';

const SEQUENCES_PER_QUERY = 200;

/** Puts sequences where the source's were. Can be done again. */
export async function setSequences(
  connection: Connection,
  sequences: readonly SequenceEntry[],
): Promise<void> {
  for (let at = 0; at < sequences.length; at += SEQUENCES_PER_QUERY) {
    const some = sequences.slice(at, at + SEQUENCES_PER_QUERY);
    await connection.query(
      `SELECT setval(to_regclass(s.name), s.value::bigint, s.called)
         FROM unnest($1::text[], $2::text[], $3::bool[]) AS s(name, value, called)`,
      [
        some.map((sequence) => quoteRelation(sequence)),
        some.map((sequence) => sequence.lastValue),
        some.map((sequence) => sequence.isCalled),
      ],
    );
  }
}

/** Refreshes materialised views, each after those that it reads. */
export async function refreshMaterializedViews(
  connection: Connection,
  views: readonly MaterializedViewEntry[],
): Promise<void> {
  const wanted = new Set(views.map((view) => displayRelation(view)));
  const ordered = await connection.query<{ schema: string; name: string }>(sqlFile('target/matview-order'));
  for (const view of ordered.filter((candidate) => wanted.has(displayRelation(candidate)))) {
    await connection.execute(`REFRESH MATERIALIZED VIEW ${quoteRelation(view)}`);
  }
}

/** As `refreshMaterializedViews`, when views may have come and gone since the snapshot: all but those that it had empty. */
export async function refreshAllBut(
  connection: Connection,
  unpopulated: readonly RelationName[],
): Promise<void> {
  const empty = new Set(unpopulated.map((view) => displayRelation(view)));
  const ordered = await connection.query<{ schema: string; name: string }>(sqlFile('target/matview-order'));
  for (const view of ordered.filter((candidate) => !empty.has(displayRelation(candidate))))
    await connection.execute(`REFRESH MATERIALIZED VIEW ${quoteRelation(view)}`);
}

/** Tables by their names now, when they may be others than the snapshot's. */
export async function presentTables(
  connection: Connection,
): Promise<(RelationName & { readonly copyBytes: string })[]> {
  return await connection.query(
    `SELECT n.nspname::text AS "schema", c.relname::text AS "name", pg_table_size(c.oid)::text AS "copyBytes"
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tidemark_restore')`,
  );
}

/** ANALYZE of each table, on all connections. */
export function analyze(
  connections: readonly Connection[],
  tables: readonly Sized[],
  signal: AbortSignal,
): Promise<void> {
  return forEachTable(connections, { tables, signal }, async (connection, table) => {
    await connection.execute(`ANALYZE ${quoteRelation(table)}`);
  });
}

/** Counts the rows of each restored table and compares with the manifest. Fails with `target.row_count`. */
export function checkCounts(
  connections: readonly Connection[],
  tables: readonly TableEntry[],
  signal: AbortSignal,
): Promise<void> {
  return forEachTable(connections, { tables, signal }, async (connection, table) => {
    const condition = table.condition === undefined || table.condition === '' ? '' : ` ${table.condition}`;
    const [row] = await connection.query<{ rows: string }>(
      `SELECT count(*)::text AS "rows" FROM ONLY ${quoteRelation(table)}${condition}`,
    );
    if (row?.rows !== table.rows) {
      throw new Failure(
        'target.row_count',
        `${displayRelation(table)} holds ${row?.rows ?? 'no'} rows on the target, the snapshot has ${table.rows}`,
        { facts: { table: displayRelation(table), target: row?.rows, snapshot: table.rows } },
      );
    }
  });
}

/** Settings under which the snapshot's text was written, and what a restore's sessions need. */
export function targetSession(manifest: Manifest): Record<string, string> {
  return {
    ...manifest.settings,
    search_path: '',
    check_function_bodies: 'off',
    client_min_messages: 'warning',
    row_security: 'off',
    statement_timeout: '0',
    lock_timeout: '0',
    idle_in_transaction_session_timeout: '0',
    default_transaction_read_only: 'off',
    synchronous_commit: 'off',
  };
}

/** Commits so far were asynchronous: one synchronous commit puts them all on disk (wal_level permitting). */
export async function makeDurable(connection: Connection): Promise<void> {
  await connection.execute("SET synchronous_commit = 'on'");
  await connection.execute(`COMMENT ON SCHEMA ${quoteIdentifier('tidemark_restore')} IS 'complete'`);
}

/** A table, and about how large it is. */
type Sized = RelationName & Pick<TableEntry, 'copyBytes'>;

function forEachTable<T extends Sized>(
  connections: readonly Connection[],
  work: { readonly tables: readonly T[]; readonly signal: AbortSignal },
  act: (connection: Connection, table: T) => Promise<void>,
): Promise<void> {
  const largestFirst = [...work.tables].sort((a, b) => Number(BigInt(b.copyBytes) - BigInt(a.copyBytes)));
  const tasks = largestFirst.map((table) => ({
    run: (connection: Connection) => act(connection, table),
  }));
  return shareOut(connections, tasks, work.signal);
}
