import type { RelationName } from '../model/identifiers.ts';

export type Profile = 'postgres' | 'supabase';

/**
 * Schemas that Supabase makes and fills itself; their rows are rebuilt by the platform, not by a backup.
 * From the lists of supabase/cli `db dump` (REPLICATION J): the data dump's list, which keeps auth, storage,
 * supabase_functions, cron, net, pgmq and dbdev.
 */
const SUPABASE_SCHEMAS =
  /^(_analytics|_realtime|_supavisor|etl|extensions|pgbouncer|realtime|supabase_migrations|graphql|graphql_public|pgsodium|pgsodium_masks|pgtle|repack|tiger|tiger_data|timescaledb_.*|_timescaledb_.*|topology|vault)$/;

/** The platform's own migration histories: they describe the platform's version, not the user's data. */
const SUPABASE_TABLES = new Set([
  'auth.schema_migrations',
  'storage.migrations',
  'supabase_functions.migrations',
]);

/** Whether the provider keeps this relation itself, so that a snapshot leaves it out and lists it. */
export function managedByProvider(relation: RelationName, profile: Profile): boolean {
  if (profile === 'postgres') return false;
  return SUPABASE_SCHEMAS.test(relation.schema) || SUPABASE_TABLES.has(`${relation.schema}.${relation.name}`);
}
