import { Failure } from '../model/failure.ts';
import type { Connection } from '../postgres/connection.ts';
import type { DatabaseStatement } from './database-properties.ts';
import { missingRoles } from './roles.ts';

/**
 * Says these things of the target, one by one. What it can't be told, for want of a role or of a right or because its
 * version knows no such setting, is answered in sentences: it is no reason to call the restore failed.
 */
export async function applyDatabaseStatements(
  connection: Connection,
  statements: readonly DatabaseStatement[],
): Promise<string[]> {
  const roles = new Set(statements.flatMap(({ role }) => role ?? []));
  const missing = new Set(await missingRoles(connection, roles));
  const notes: string[] = [];
  for (const { sql, about, role } of statements) {
    if (role !== undefined && missing.has(role)) {
      notes.push(`the database’s ${about} is not brought back: the target has no role ${role}`);
      continue;
    }
    try {
      await connection.execute(sql);
    } catch (error) {
      if (!(error instanceof Failure) || typeof error.facts['sqlstate'] !== 'string') throw error;
      notes.push(`the database’s ${about} is not brought back: ${error.message}`);
    }
  }
  return notes;
}
