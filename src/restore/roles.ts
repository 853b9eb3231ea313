import type { Manifest } from '../archive/manifest.ts';
import { readPart } from '../catalog/read-part.ts';
import { quoteIdentifier, unquote } from '../model/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import type { RestoreRequest } from './request.ts';
import type { SchemaEntry } from './schema-script.ts';

const NAME = String.raw`"(?:[^"]|"")*"|[^\s",;]+`;
const GRANTEE = new RegExp(
  String.raw`\s(?:TO|FROM|FOR ROLE) (${NAME})(?= WITH GRANT OPTION;|;| IN SCHEMA| GRANT| REVOKE)`,
  'g',
);
const POLICY_ROLES = new RegExp(
  String.raw`\sTO ((?:${NAME})(?:, (?:${NAME}))*)(?=\s+(?:USING|WITH CHECK)|;)`,
);

/** Roles that some entries name: as owners, in grants, in policies. PUBLIC and the like are none. */
export function requiredRoles(
  entries: readonly SchemaEntry[],
  options: { readonly owners: boolean; readonly privileges: boolean },
): Set<string> {
  const roles = new Set<string>();
  for (const entry of entries) {
    if (options.owners && /\bOWNER TO\b/.test(entry.sql)) roles.add(entry.owner);
    if (options.privileges && /^(?:ACL|DEFAULT ACL)$/.test(entry.type)) {
      for (const match of entry.sql.matchAll(GRANTEE)) roles.add(unquote(match[1] ?? ''));
    }
    if (entry.type === 'POLICY') {
      const list = POLICY_ROLES.exec(entry.sql)?.[1] ?? '';
      for (const match of list.matchAll(new RegExp(NAME, 'g'))) roles.add(unquote(match[0]));
    }
  }
  for (const none of ['', '-', 'PUBLIC', 'public', 'CURRENT_USER', 'CURRENT_ROLE', 'SESSION_USER'])
    roles.delete(none);
  return roles;
}

/** Those of the roles that the target does not have. */
export async function missingRoles(connection: Connection, roles: ReadonlySet<string>): Promise<string[]> {
  const rows = await connection.query<{ name: string }>(
    `SELECT r.name FROM unnest($1::text[]) AS r(name) WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r.name) ORDER BY 1`,
    [[...roles]],
  );
  return rows.map((row) => row.name);
}

/**
 * Makes the roles of `globals.sql` that the target lacks, with their attributes and memberships, in one
 * transaction. Roles that exist stay as they are. Passwords are not stored: set them afterwards.
 */
export async function createMissingRoles(connection: Connection, request: RestoreRequest): Promise<string[]> {
  const script = await readGlobals(request);
  const created = await missingRoles(connection, new Set(script.roles));
  const isNew = new Set(created);
  const [self] = await connection.query<{ name: string; superuser: boolean }>(
    `SELECT rolname AS "name", rolsuper AS "superuser" FROM pg_roles WHERE rolname = current_user`,
  );
  // From 16 on, who may make roles is a member of those that it makes, and can't be made one again.
  const isAlready = (role: string, member: string): boolean =>
    connection.serverVersion >= 160_000 &&
    self?.superuser === false &&
    member === self.name &&
    isNew.has(role);
  await connection.execute('BEGIN');
  for (const role of created) await connection.execute(`CREATE ROLE ${quoteIdentifier(role)}`);
  for (const { role, sql } of script.attributes) if (isNew.has(role)) await connection.execute(sql);
  for (const { role, member, sql } of script.memberships)
    if ((isNew.has(member) || isNew.has(role)) && !isAlready(role, member)) await connection.execute(sql);
  await connection.commit();
  return created;
}

interface Globals {
  readonly roles: string[];
  readonly attributes: { readonly role: string; readonly sql: string }[];
  readonly memberships: { readonly role: string; readonly member: string; readonly sql: string }[];
}

/** pg_dumpall prints one statement a line; comments on roles may span more and are left out. */
export function parseGlobals(text: string): Globals {
  const globals: Globals = { roles: [], attributes: [], memberships: [] };
  for (const line of text.split('\n')) {
    const create = new RegExp(`^CREATE ROLE (${NAME});$`).exec(line)?.[1];
    const alter = new RegExp(`^ALTER ROLE (${NAME}) (?:WITH|SET) `).exec(line)?.[1];
    const grant = new RegExp(`^GRANT (${NAME}) TO (${NAME})[ ;]`).exec(line);
    if (create !== undefined) globals.roles.push(unquote(create));
    // What a role does not have need not be said, and only a superuser may say it.
    else if (alter !== undefined)
      globals.attributes.push({
        role: unquote(alter),
        sql: line.replaceAll(/ NO(?:SUPERUSER|REPLICATION|BYPASSRLS)\b/g, ''),
      });
    else if (grant !== null) {
      const sql = line.replace(new RegExp(` GRANTED BY (?:${NAME})`), '');
      globals.memberships.push({ role: unquote(grant[1] ?? ''), member: unquote(grant[2] ?? ''), sql });
    }
  }
  return globals;
}

async function readGlobals({ repository, manifest, opener, signal }: RestoreRequest): Promise<Globals> {
  const part = manifest.parts.find((candidate: Manifest['parts'][number]) => candidate.role === 'globals');
  if (part === undefined) return { roles: [], attributes: [], memberships: [] };
  const how = { opener, proof: 'last', signal } as const;
  const chunks = await Array.fromAsync(readPart({ repository, manifest, part }, how));
  return parseGlobals(Buffer.concat(chunks).toString('utf8'));
}
