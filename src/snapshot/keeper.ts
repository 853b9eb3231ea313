import { displayRelation, quoteLiteral, quoteRelation } from '../model/identifiers.ts';
import { Failure, throwIfAborted } from '../model/failure.ts';
import type { Connection } from '../postgres/connection.ts';
import { readRelations } from '../postgres/inventory.ts';
import type { Relation } from '../postgres/inventory.ts';
import { failpoint } from '../runtime/failpoints.ts';

/** What all workers and pg_dump import. */
export interface ExportedSnapshot {
  /** pg_export_snapshot(): for SET TRANSACTION SNAPSHOT and pg_dump --snapshot. */
  readonly name: string;
  /** pg_current_snapshot() as text; every importer must see the same. */
  readonly visible: string;
  /** WAL insert position read with it. */
  readonly upper: string;
  /** Server clock when it was taken, ISO 8601. */
  readonly instant: string;
}

const TABLES_PER_LOCK_STATEMENT = 200;

/**
 * Locks first, then takes and exports the snapshot: TRUNCATE and table rewrites are not MVCC-safe, a snapshot
 * taken before the lock may read an empty table (REPLICATION C4). LOCK TABLE as the first statement of a
 * REPEATABLE READ transaction does not take the snapshot yet.
 *
 * Fails with `source.lock_timeout` when a table can't be locked within the limit.
 */
export async function lockAndExport(
  connection: Connection,
  options: { readonly relations: readonly Relation[]; readonly lockTimeoutMs: number },
): Promise<ExportedSnapshot> {
  await connection.execute('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await connection.execute(`SET LOCAL lock_timeout = ${Math.trunc(options.lockTimeoutMs)}`);
  for (let at = 0; at < options.relations.length; at += TABLES_PER_LOCK_STATEMENT) {
    const some = options.relations.slice(at, at + TABLES_PER_LOCK_STATEMENT);
    await connection.execute(
      `LOCK TABLE ${some.map((r) => `ONLY ${quoteRelation(r)}`).join(', ')} IN ACCESS SHARE MODE`,
    );
  }
  await connection.execute('SET LOCAL lock_timeout = 0');
  await failpoint('snapshot.locked');
  const [row] = await connection.query<ExportedSnapshot>(
    `SELECT pg_export_snapshot() AS "name", pg_current_snapshot()::text AS "visible",
            pg_current_wal_insert_lsn()::text AS "upper",
            to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "instant"`,
  );
  if (row === undefined) throw new Failure('source.error', 'the server exported no snapshot');
  await failpoint('snapshot.exported');
  await refuseChangedRelations(connection, options.relations);
  return row;
}

/** What was listed before the locks must be what the snapshot shows: same tables, names and columns. */
async function refuseChangedRelations(connection: Connection, locked: readonly Relation[]): Promise<void> {
  const now = new Map((await readRelations(connection)).map((relation) => [relation.oid, relation]));
  const changed = locked.filter(
    (relation) => JSON.stringify(now.get(relation.oid)) !== JSON.stringify(relation),
  );
  if (changed.length > 0) {
    throw new Failure('source.changed', `${changed.length} table(s) changed before they could be locked`, {
      facts: { relations: changed.slice(0, 5).map((relation) => displayRelation(relation)) },
    });
  }
}

/** True when the position is on the source's disk: async commits visible in the snapshot then are too. */
export async function isFlushed(connection: Connection, position: string): Promise<boolean> {
  const [row] = await connection.query<{ flushed: boolean }>(
    'SELECT pg_current_wal_flush_lsn() >= $1::pg_lsn AS "flushed"',
    [position],
  );
  return row?.flushed === true;
}

/**
 * An idle server writes its last WAL out only when its WAL writer wakes up, every 5 s. A synchronous commit that has
 * written something does it at once (RecordTransactionCommit()); a logical message is the least that any role may
 * write, and leaves no trace in the database. Where it may not, on a read-only server, the wait is only longer.
 */
export async function askForFlush(connection: Connection): Promise<void> {
  try {
    await connection.execute(
      "BEGIN READ WRITE; SET LOCAL synchronous_commit = 'local'; SELECT pg_logical_emit_message(true, 'flush', ''); COMMIT",
    );
  } catch (error) {
    if (!(error instanceof Failure) || error.code === 'source.lost') throw error;
    await connection.execute('ROLLBACK');
  }
}

/** Async commits that the snapshot shows must be on the source's disk before it counts (REPLICATION I 15). */
export async function untilFlushed(
  watcher: Connection,
  snapshot: ExportedSnapshot,
  signal: AbortSignal,
): Promise<void> {
  if (await isFlushed(watcher, snapshot.upper)) return;
  await askForFlush(watcher);
  while (!(await isFlushed(watcher, snapshot.upper))) {
    throwIfAborted(signal);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Begins a transaction on the exported snapshot and proves that it sees the same (REPLICATION C3). */
export async function importSnapshot(connection: Connection, snapshot: ExportedSnapshot): Promise<void> {
  await connection.execute('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await connection.execute(`SET TRANSACTION SNAPSHOT ${quoteLiteral(snapshot.name)}`);
  const [row] = await connection.query<{ visible: string }>(
    'SELECT pg_current_snapshot()::text AS "visible"',
  );
  if (row?.visible !== snapshot.visible) {
    throw new Failure('source.pooler', 'a second connection does not see the exported snapshot', {
      remedy: 'the URL may lead to several servers or through a transaction pooler; use the direct URL',
    });
  }
}
