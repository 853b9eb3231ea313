import { newDatabase, sql } from './postgres.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';

/**
 * What a Supabase project is before its user has made anything, as far as stock PostgreSQL can show it: reserved
 * roles, schemas and tables of the platform, owned by its own roles; event triggers, a publication, default
 * privileges. From the migrations of supabase/postgres, auth and storage, cut down to what a restore meets.
 *
 * Two things are granted that the platform's own extension (supautils) allows by statement: SET
 * session_replication_role, and policies on storage's tables (here by membership).
 */
const PLATFORM = `
  CREATE ROLE supabase_admin SUPERUSER; CREATE ROLE supabase_auth_admin; CREATE ROLE supabase_storage_admin;
  CREATE ROLE supabase_realtime_admin; CREATE ROLE anon; CREATE ROLE authenticated; CREATE ROLE service_role BYPASSRLS;
  CREATE ROLE authenticator LOGIN NOINHERIT; CREATE ROLE dashboard_user; CREATE ROLE pgbouncer;
  CREATE ROLE project LOGIN PASSWORD 'of the user' NOSUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS;
  GRANT pg_read_all_data, pg_monitor, pg_signal_backend, supabase_storage_admin TO project;
  GRANT anon, authenticated, service_role TO project, authenticator;
  GRANT SET ON PARAMETER session_replication_role TO project`;

const DATABASE = `
  SET ROLE supabase_admin;
  CREATE SCHEMA extensions AUTHORIZATION project; CREATE SCHEMA auth AUTHORIZATION supabase_auth_admin;
  CREATE SCHEMA storage AUTHORIZATION supabase_storage_admin; CREATE SCHEMA realtime; CREATE SCHEMA vault; CREATE SCHEMA graphql_public;
  CREATE EXTENSION citext SCHEMA extensions; CREATE EXTENSION pgcrypto SCHEMA extensions;
  GRANT USAGE ON SCHEMA auth, storage, realtime, vault, extensions TO project, anon, authenticated, service_role;
  GRANT ALL ON SCHEMA public TO project; GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
  ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin IN SCHEMA public GRANT ALL ON TABLES TO project, anon, authenticated, service_role;
  ALTER DEFAULT PRIVILEGES FOR ROLE project IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;

  CREATE TABLE auth.users (id uuid PRIMARY KEY, email text UNIQUE, encrypted_password text, email_confirmed_at timestamptz, phone_confirmed_at timestamptz,
    confirmed_at timestamptz GENERATED ALWAYS AS (LEAST(email_confirmed_at, phone_confirmed_at)) STORED, raw_user_meta_data jsonb);
  CREATE TABLE auth.identities (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE, provider text);
  CREATE TABLE auth.refresh_tokens (id bigserial PRIMARY KEY, token text, user_id text);
  CREATE TABLE auth.schema_migrations (version text PRIMARY KEY); INSERT INTO auth.schema_migrations VALUES ('20260101');
  CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
  COMMENT ON FUNCTION auth.uid() IS 'the user of a request';
  ALTER TABLE auth.users OWNER TO supabase_auth_admin; ALTER TABLE auth.identities OWNER TO supabase_auth_admin;
  ALTER TABLE auth.refresh_tokens OWNER TO supabase_auth_admin; ALTER TABLE auth.schema_migrations OWNER TO supabase_auth_admin;
  ALTER FUNCTION auth.uid() OWNER TO supabase_auth_admin; ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY;
  GRANT ALL ON ALL TABLES IN SCHEMA auth TO project; GRANT ALL ON ALL SEQUENCES IN SCHEMA auth TO project;

  CREATE TABLE storage.buckets (id text PRIMARY KEY, name text NOT NULL UNIQUE, updated_at timestamptz DEFAULT now());
  CREATE TABLE storage.objects (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), bucket_id text REFERENCES storage.buckets, name text, updated_at timestamptz,
    path_tokens text[] GENERATED ALWAYS AS (string_to_array(name, '/')) STORED);
  CREATE TABLE storage.migrations (id int PRIMARY KEY, name text); INSERT INTO storage.migrations VALUES (1, 'first');
  CREATE FUNCTION storage.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$;
  CREATE TRIGGER touch_objects BEFORE INSERT OR UPDATE ON storage.objects FOR EACH ROW EXECUTE FUNCTION storage.touch();
  ALTER TABLE storage.buckets OWNER TO supabase_storage_admin; ALTER TABLE storage.objects OWNER TO supabase_storage_admin;
  ALTER TABLE storage.migrations OWNER TO supabase_storage_admin; ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;
  GRANT ALL ON ALL TABLES IN SCHEMA storage TO project;

  CREATE TABLE realtime.messages (id bigint PRIMARY KEY, payload jsonb); CREATE TABLE vault.secrets (id uuid PRIMARY KEY, secret text);
  INSERT INTO realtime.messages VALUES (1, '{}'); INSERT INTO vault.secrets VALUES (gen_random_uuid(), 'of this project alone');
  CREATE FUNCTION extensions.grant_pg_net_access() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
  COMMENT ON FUNCTION extensions.grant_pg_net_access() IS 'the platform’s';
  CREATE EVENT TRIGGER issue_pg_net_access ON ddl_command_end EXECUTE FUNCTION extensions.grant_pg_net_access();
  RESET ROLE; CREATE PUBLICATION supabase_realtime; ALTER PUBLICATION supabase_realtime OWNER TO project`;

/** Makes an empty project on a server that has none; its user's URL and a superuser's. */
export async function newProject(
  server: ThrowawayServer,
): Promise<{ readonly url: string; readonly admin: string }> {
  const admin = await newDatabase(server);
  await sql(admin, PLATFORM);
  await sql(admin, `ALTER DATABASE ${new URL(admin).pathname.slice(1)} OWNER TO project; ${DATABASE}`);
  return { url: admin.replace(/\/\/postgres:[^@]*@/, '//project:of%20the%20user@'), admin };
}
