/**
 * What belongs to Supabase in a project's database, by the lists of its own CLI's `db dump` (REPLICATION J). A
 * snapshot leaves out the rows that the platform makes itself; a restore into a project leaves alone all that the
 * platform has made there already.
 */

/** Schemas whose rows are the platform's own. */
const PLATFORM_DATA =
  /^(_analytics|_realtime|_supavisor|etl|extensions|pgbouncer|realtime|supabase_migrations|graphql|graphql_public|pgsodium|pgsodium_masks|pgtle|repack|tiger|tiger_data|timescaledb_.*|_timescaledb_.*|topology|vault)$/;

/** Schemas whose tables are the platform's, and whose rows are the user's. */
const PLATFORM_TABLES = /^(auth|storage|supabase_functions|cron|net|pgmq|dbdev)$/;

/** The platform's own migration histories: they describe its version, not the user's data. */
const MIGRATIONS = new Set(['auth.schema_migrations', 'storage.migrations', 'supabase_functions.migrations']);

const RESERVED_ROLES =
  /^(anon|authenticated|authenticator|cli_login_.*|dashboard_user|pgbouncer|postgres|service_role|supabase_.*|pgsodium_keyholder|pgsodium_keyiduser|pgsodium_keymaker|pgtle_admin)$/;

/** Whether the rows of a table are made by the platform. */
export function isPlatformData(relation: { readonly schema: string; readonly name: string }): boolean {
  return PLATFORM_DATA.test(relation.schema) || MIGRATIONS.has(`${relation.schema}.${relation.name}`);
}

/** Whether the platform made a schema, and all definitions in it that a project starts with. */
export function isPlatformSchema(schema: string): boolean {
  return PLATFORM_DATA.test(schema) || PLATFORM_TABLES.test(schema);
}

/** Roles that every project has, and that its user can't make. */
export function isPlatformRole(role: string): boolean {
  return RESERVED_ROLES.test(role);
}
