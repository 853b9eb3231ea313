import { displayRelation } from '../model/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';

export interface ForeignKeyReport {
  readonly checked: number;
  /** Keys that rows break, by table and constraint, and how many rows do. */
  readonly broken: readonly { readonly table: string; readonly constraint: string; readonly rows: string }[];
  /** Of kinds that no query here can check. */
  readonly unchecked: readonly string[];
}

/**
 * Counts the rows that break a foreign key: none were checked while the session was a replica (REPLICATION I 35). A
 * prefix of history breaks none that the source kept, so rows here mean that target and changes do not fit, or that
 * the source itself had them.
 */
export async function foreignKeyViolations(connection: Connection): Promise<ForeignKeyReport> {
  const checks = await connection.query<{
    schema: string;
    name: string;
    constraint: string;
    sql: string | null;
  }>(sqlFile('target/foreign-key-checks'));
  const broken: { table: string; constraint: string; rows: string }[] = [];
  for (const { constraint, sql, ...relation } of checks) {
    if (sql === null) continue;
    const [row] = await connection.query<{ rows: string }>(sql);
    if (row !== undefined && row.rows !== '0')
      broken.push({ table: displayRelation(relation), constraint, rows: row.rows });
  }
  const unchecked = checks.filter((check) => check.sql === null);
  return {
    checked: checks.length - unchecked.length,
    broken,
    unchecked: unchecked.map((check) => `${displayRelation(check)} ${check.constraint}`),
  };
}
