import { displayRelation, quoteIdentifier, quoteRelation } from '../model/identifiers.ts';
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
 * count only where `unvalidated` names them, as `schema.table name`.
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

interface StandingKey extends RelationName {
  readonly constraint: string;
  readonly validated: boolean;
}

/**
 * What has become of foreign keys that rows broke when they were made (`entryTasks`): those that rows still break, and those that
 * are not there. One that nothing breaks any more, since changes have come after it, is validated.
 */
export async function brokenKeys(connection: Connection, weak: readonly SchemaEntry[]): Promise<BrokenKey[]> {
  if (weak.length === 0) return [];
  const found = await connection.query<StandingKey>(
    `SELECT n.nspname AS "schema", c.relname AS "name", k.conname AS "constraint", k.convalidated AS "validated"
       FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE k.contype = 'f'`,
  );
  const standing = new Map(found.map((key) => [nameOf(key), key]));
  const names = weak.map(({ schema, name }) => `${schema}.${name}`);
  const unvalidated = names.filter((name) => standing.get(name)?.validated === false);
  const { broken } = await foreignKeyViolations(connection, { tables: [], unvalidated });
  const isBroken = new Set(broken.map(({ table, constraint }) => `${table} ${constraint}`));
  for (const name of unvalidated) {
    const key = standing.get(name);
    if (key === undefined || isBroken.has(`${displayRelation(key)} ${key.constraint}`)) continue;
    await connection.execute(
      `ALTER TABLE ${quoteRelation(key)} VALIDATE CONSTRAINT ${quoteIdentifier(key.constraint)}`,
    );
  }
  const missing = names.filter((name) => !standing.has(name));
  return [
    ...broken,
    ...missing.map((name) => ({
      table: name.slice(0, name.lastIndexOf(' ')),
      constraint: name.slice(name.lastIndexOf(' ') + 1),
    })),
  ];
}

/** As pg_restore prints names. */
function nameOf({ schema, name, constraint }: StandingKey): string {
  return `${schema}.${name} ${constraint}`.replaceAll(/[\r\n]/g, ' ');
}
