import { expect, test } from 'vitest';
import type { Manifest } from '../../src/archive/manifest.ts';
import { absentDatabase, newDatabase, rows, sql, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

/** What such a project looks like from the user's role: not superuser, reads everything, owns only its own. */
const PROJECT = `
  CREATE ROLE supabase_admin SUPERUSER;
  CREATE ROLE supabase_auth_admin; CREATE ROLE anon; CREATE ROLE authenticated;
  CREATE ROLE project LOGIN PASSWORD 'of the user' NOSUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS;
  GRANT pg_read_all_data, pg_monitor TO project; GRANT anon, authenticated TO project;
  GRANT CREATE ON SCHEMA public TO project;
  CREATE SCHEMA auth AUTHORIZATION supabase_auth_admin; CREATE SCHEMA vault AUTHORIZATION supabase_admin; CREATE SCHEMA realtime AUTHORIZATION supabase_admin;
  CREATE TABLE auth.users (id uuid PRIMARY KEY, email text); INSERT INTO auth.users VALUES (gen_random_uuid(), 'a@example.com');
  CREATE TABLE auth.schema_migrations (version text); INSERT INTO auth.schema_migrations VALUES ('1');
  CREATE TABLE vault.secrets (secret text); INSERT INTO vault.secrets VALUES ('key'); CREATE TABLE realtime.messages (m text); INSERT INTO realtime.messages VALUES ('m');
  ALTER TABLE auth.users OWNER TO supabase_auth_admin; ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY;
  CREATE FUNCTION public.notify_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER issue_pg_net_access ON ddl_command_end EXECUTE FUNCTION public.notify_ddl();
  SET ROLE project;
  CREATE TABLE public.profiles (id uuid PRIMARY KEY REFERENCES auth.users, name text);
  RESET ROLE`;

test('an emulated Supabase project is recognised, and its own rows come back into a plain PostgreSQL', async () => {
  await using server = await testServer(15);
  await using folder = await temporaryFolder();
  const database = await newDatabase(server);
  await sql(database, PROJECT.replace('REFERENCES auth.users', ''));
  await sql(database, "INSERT INTO public.profiles SELECT id, 'name' FROM auth.users");
  const url = database.replace(/\/\/postgres:[^@]*@/, '//project:of%20the%20user@');
  const common = ['--url', url, '--repository', folder.path];
  const { manifest } = (await tidemarkJson(['snapshot', ...common])) as { manifest: Manifest };
  expect(manifest.server.profile).toBe('supabase');
  const stored = manifest.tables
    .filter((table) => table.data === 'included')
    .map((table) => `${table.schema}.${table.name}`);
  expect(stored).toEqual(['auth.users', 'public.profiles']);
  const managed = manifest.coverage.find((entry) => entry.kind === 'managed-schema');
  expect(managed?.objects).toEqual(['auth.schema_migrations', 'realtime.messages', 'vault.secrets']);
  expect((await tidemark(['doctor', ...common])).stdout).toContain('supabase');

  await using plain = await testServer(15);
  const target = absentDatabase(plain);
  await tidemarkJson(['restore', ...common, '--target', target, '--create', '--globals']);
  for (const table of ['auth.users', 'public.profiles']) {
    const [restored] = await rows<{ rows: string }>(
      target,
      `SELECT string_agg(t::text, ',') AS rows FROM ${table} t`,
    );
    const [original] = await rows<{ rows: string }>(
      database,
      `SELECT string_agg(t::text, ',') AS rows FROM ${table} t`,
    );
    expect(restored).toEqual(original);
    expect(restored?.rows).not.toBeNull();
  }
  expect(await rows(target, 'SELECT FROM vault.secrets')).toEqual([]);
});
