import { displayRelation, quoteRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import type { BrokenKey } from './request.ts';
import type { SchemaEntry } from './schema-script.ts';

interface ForeignKeyReport {
  readonly checked: number;
  readonly broken: readonly BrokenKey[];
  /** Of kinds that no query here can check. */
  readonly unchecked: readonly string[];
}

/**
 * Counts the rows that break a foreign key: none were checked while the session was a replica (REPLICATION I 35). A
 * prefix of history breaks none that the source kept, so rows here mean that target and changes do not fit, or that
 * the source itself had them. Only keys of these tables or to them; without any named, all. Keys that are NOT VALID
 * count only where `unvalidated` names them, as `notValidated` does.
 */
export async function foreignKeyViolations(
  connection: Connection,
  which: { readonly tables?: readonly RelationName[]; readonly unvalidated?: readonly string[] } = {},
): Promise<ForeignKeyReport> {
  const checks = await connection.query<{
    schema: string;
    name: string;
    constraint: string;
    sql: string | null;
  }>(sqlFile('target/foreign-key-checks'), [
    which.tables?.map((table) => quoteRelation(table)) ?? null,
    which.unvalidated ?? [],
  ]);
  const broken: BrokenKey[] = [];
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

/**
 * Which foreign keys of a snapshot stand on the target NOT VALID although they were valid, as `schema.table name`, and
 * which are not there: rows break them (`entryTasks`). Read from the target, so that a restore that goes on knows it too.
 */
export async function notValidated(
  connection: Connection,
  entries: readonly SchemaEntry[],
): Promise<{ readonly unvalidated: string[]; readonly missing: string[] }> {
  const wanted = entries
    .filter(({ type, sql }) => type === 'FK CONSTRAINT' && !sql.includes('NOT VALID'))
    .map(({ schema, name }) => `${schema}.${name}`);
  if (wanted.length === 0) return { unvalidated: [], missing: [] };
  const found = await connection.query<{ name: string; validated: boolean }>(
    `SELECT n.nspname || '.' || c.relname || ' ' || k.conname AS "name", k.convalidated AS "validated"
       FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE k.contype = 'f'`,
  );
  // As pg_restore prints names.
  const validated = new Map(found.map((key) => [key.name.replaceAll(/[\r\n]/g, ' '), key.validated]));
  return {
    unvalidated: wanted.filter((name) => validated.get(name) === false),
    missing: wanted.filter((name) => !validated.has(name)),
  };
}
