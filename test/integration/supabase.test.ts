import { tmpdir } from 'node:os';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Manifest } from '../../src/archive/manifest.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { absentDatabase, newDatabase, rows, sql, stockDump, testServer } from '../support/postgres.ts';
import { newProject } from '../support/supabase.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

const MAJOR = 17;
/** What the user made: tables with policies, a trigger on auth.users, files, realtime, a role. */
const USER = `
  CREATE ROLE reporting; GRANT USAGE ON SCHEMA public TO reporting;
  CREATE TABLE public.profiles (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, name extensions.citext, made_by text DEFAULT 'trigger');
  ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;
  CREATE POLICY own ON public.profiles TO authenticated USING (auth.uid() = id);
  GRANT SELECT ON public.profiles TO reporting;
  CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN INSERT INTO public.profiles (id, name) VALUES (NEW.id, NEW.email); RETURN NEW; END $$;
  CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();
  INSERT INTO auth.users (id, email, email_confirmed_at) SELECT gen_random_uuid(), n || '@example.com', '2026-01-01' FROM generate_series(1, 500) n;
  UPDATE public.profiles SET made_by = 'hand' WHERE name = '7@example.com';
  INSERT INTO auth.identities (user_id, provider) SELECT id, 'email' FROM auth.users;
  INSERT INTO auth.refresh_tokens (token, user_id) SELECT md5(id::text), id FROM auth.users;
  INSERT INTO storage.buckets VALUES ('avatars', 'avatars', '2026-01-01');
  INSERT INTO storage.objects (bucket_id, name) SELECT 'avatars', id || '/face.png' FROM auth.users;
  CREATE POLICY "avatars are public" ON storage.objects FOR SELECT USING (bucket_id = 'avatars');
  ALTER PUBLICATION supabase_realtime ADD TABLE public.profiles; SELECT lo_from_bytea(4711, 'a large object')`;
const HELD = [
  'auth.users',
  'auth.identities',
  'auth.refresh_tokens',
  'storage.buckets',
  'storage.objects',
  'public.profiles',
];

let servers: ThrowawayServer[];
let source: Awaited<ReturnType<typeof newProject>>;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let common: string[];
let manifest: Manifest;

beforeAll(async () => {
  servers = await Promise.all([testServer(MAJOR), testServer(MAJOR)]);
  source = await newProject(servers[0] as ThrowawayServer);
  await sql(source.url, USER);
  folder = await temporaryFolder();
  common = ['--url', source.url, '--repository', folder.path];
  ({ manifest } = (await tidemarkJson(['snapshot', ...common])) as { manifest: Manifest });
});
afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

async function content(url: string, table: string): Promise<string | null> {
  const [row] = await rows<{ rows: string | null }>(
    url,
    `SELECT string_agg(t::text, E'\\n' ORDER BY t::text) AS "rows" FROM ${table} t`,
  );
  return row?.rows ?? null;
}

test('an emulated project is recognised; what the platform keeps is left out and listed', async () => {
  expect(manifest.server.profile).toBe('supabase');
  const stored = manifest.tables.filter((table) => table.data === 'included');
  expect(stored.map((table) => `${table.schema}.${table.name}`).sort()).toEqual([...HELD].sort());
  const managed = manifest.coverage.find((entry) => entry.kind === 'managed-schema');
  expect(managed?.objects).toEqual([
    'auth.schema_migrations',
    'realtime.messages',
    'storage.migrations',
    'vault.secrets',
  ]);
  expect((await tidemark(['doctor', ...common])).stdout).toContain('supabase');
});

test('its rows come back into a plain PostgreSQL', async () => {
  const target = absentDatabase(servers[1] as ThrowawayServer);
  await tidemarkJson(['restore', ...common, '--target', target, '--create', '--globals']);
  for (const table of HELD) expect(await content(target, table)).toBe(await content(source.url, table));
  expect(await content(target, 'vault.secrets')).toBeNull();
});

/** What stands on the platform's tables, and who owns event triggers. */
const made = (url: string): Promise<unknown[]> =>
  rows(
    url,
    `SELECT tgrelid::regclass::text AS "on", tgname AS "name" FROM pg_trigger WHERE NOT tgisinternal
     UNION ALL SELECT polrelid::regclass::text, polname FROM pg_policy
     UNION ALL SELECT prrelid::regclass::text, 'realtime' FROM pg_publication_rel
     UNION ALL SELECT evtowner::regrole::text, evtname FROM pg_event_trigger ORDER BY 1, 2`,
  );

/** Rows and definitions are the source's. */
async function expectSame(target: { readonly url: string; readonly admin: string }): Promise<void> {
  for (const table of HELD) expect(await content(target.url, table)).toBe(await content(source.url, table));
  for (const { url } of [source, target])
    expect(await rows(url, 'SELECT convert_from(lo_get(4711), \'UTF8\') AS "held"')).toEqual([
      { held: 'a large object' },
    ]);
  const own = ['--schema=public'];
  expect(await stockDump(target.admin, MAJOR, own)).toBe(await stockDump(source.admin, MAJOR, own));
  expect(await made(target.url)).toEqual(await made(source.url));
  expect(await made(target.url)).toHaveLength(6);
}

async function snapshotBy(args: readonly string[]): Promise<{ common: string[] } & AsyncDisposable> {
  const repository = await temporaryFolder();
  const at = ['--url', source.url, '--repository', repository.path];
  await tidemarkJson(['snapshot', ...at, ...args]);
  return { common: at, [Symbol.asyncDispose]: () => repository[Symbol.asyncDispose]() };
}

test.for([
  ['engine copy', [], []],
  ['engine pg_dump', ['--engine', 'pg_dump'], []],
  ['engine pg_dump by staging', ['--engine', 'pg_dump', '--staging', tmpdir()], ['--staging', tmpdir()]],
] as const)('it comes back into another project, by its user alone: %s', async ([, snapshot, staging]) => {
  await using server = await testServer(MAJOR);
  await using taken = await snapshotBy(snapshot);
  const target = await newProject(server);
  // The other project's platform may be newer.
  await sql(target.admin, 'ALTER TABLE auth.users ADD is_anonymous boolean NOT NULL DEFAULT false');
  const restore = ['restore', ...taken.common, ...staging, '--target', target.url, '--globals'];
  const before = await content(target.url, 'vault.secrets');
  const plan = await tidemark([...restore, '--dry-run']);
  expect(plan.stdout).toContain('definitions in Supabase’s own schemas');
  // --globals has made no role yet: the plan says what is missing, and changed nothing.
  expect(plan.stdout).toContain('reporting');
  expect(await content(target.url, 'auth.users')).toBeNull();
  const { report } = await tidemarkJson(restore);
  expect(report).toMatchObject({ tables: HELD.length });

  await sql(target.admin, 'ALTER TABLE auth.users DROP is_anonymous');
  await expectSame(target);
  expect(await content(target.url, 'vault.secrets')).toBe(before);

  // It works like a project: a new user gets a profile, and ids go on where they were.
  await sql(
    target.url,
    "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'new@example.com'); INSERT INTO auth.refresh_tokens (token) VALUES ('new')",
  );
  expect(
    await rows(target.url, "SELECT FROM public.profiles WHERE name::text = 'new@example.com'"),
  ).toHaveLength(1);
  expect(await rows(target.url, "SELECT id FROM auth.refresh_tokens WHERE token = 'new'")).toEqual([
    { id: '501' },
  ]);

  const again = await tidemark(restore);
  expect(again.exitCode).toBe(4);
  expect(again.stderr).toContain('target.not_empty');
});

test.for([
  ['copy', []],
  ['pg_dump', ['--engine', 'pg_dump']],
] as const)(
  '--clean makes a project the source’s again, engine %s; or changes nothing',
  async ([, snapshot]) => {
    await using server = await testServer(MAJOR);
    await using taken = await snapshotBy(snapshot);
    const target = await newProject(server);
    const restore = ['restore', ...taken.common, '--target', target.url, '--globals'];
    await tidemarkJson(restore);
    await sql(
      target.url,
      `DELETE FROM auth.refresh_tokens WHERE id % 2 = 0; UPDATE auth.users SET email = 'changed ' || email; DELETE FROM storage.objects;
     ALTER TABLE public.profiles ADD more int; DROP POLICY "avatars are public" ON storage.objects;
     CREATE POLICY "avatars are public" ON storage.objects FOR SELECT USING (EXISTS (SELECT FROM public.profiles))`,
    );
    const clean = [...restore, '--clean', '--yes'];
    const before = await stockDump(target.admin, MAJOR);
    const refused = async (change: string, why: string, undo: string): Promise<void> => {
      await sql(target.admin, change);
      const { exitCode, stderr } = await tidemark(clean);
      expect(stderr).toContain(why);
      expect(exitCode).toBe(4);
      await sql(target.admin, undo);
      expect(await stockDump(target.admin, MAJOR)).toBe(before);
    };
    await refused('CREATE TABLE public.mine ()', 'relation public.mine', 'DROP TABLE public.mine');
    await refused(
      'CREATE TRIGGER second AFTER DELETE ON auth.users FOR EACH ROW EXECUTE FUNCTION public.handle_new_user()',
      'trigger auth.users second runs public.handle_new_user() and is not in the snapshot',
      'DROP TRIGGER second ON auth.users',
    );
    await refused(
      `CREATE TABLE auth.newer (id uuid REFERENCES auth.users); INSERT INTO auth.newer SELECT id FROM auth.users LIMIT 1;
     GRANT SELECT ON auth.newer TO project`,
      'auth.newer references rows that would be replaced',
      'DROP TABLE auth.newer',
    );
    const secrets = await content(target.url, 'vault.secrets');
    await sql(
      target.admin,
      'CREATE TABLE auth.newer (id uuid REFERENCES auth.users); GRANT SELECT ON auth.newer TO project',
    );
    const { report } = await tidemarkJson(clean);
    expect(report).toMatchObject({ tables: HELD.length });
    await expectSame(target);
    expect(await content(target.url, 'vault.secrets')).toBe(secrets);
  },
);

test('rows of someone else’s schema "auth" are refused before anything is done', async () => {
  await using lone = await testServer(MAJOR);
  await using other = await temporaryFolder();
  const foreign = await newDatabase(lone);
  await sql(
    foreign,
    'CREATE SCHEMA auth; CREATE TABLE auth.users (id int); INSERT INTO auth.users VALUES (1)',
  );
  const args = ['--url', foreign, '--repository', other.path];
  await tidemarkJson(['snapshot', ...args]);
  await using server = await testServer(MAJOR);
  const target = await newProject(server);
  const refused = await tidemark(['restore', ...args, '--target', target.url]);
  expect(refused.exitCode).toBe(4);
  expect(refused.stderr).toContain('belongs to Supabase on the target');
});
