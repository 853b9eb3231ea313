import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import {
  ddlMessages,
  initCapture,
  members,
  namesOf,
  peek,
  runScript,
  traces,
  verifies,
} from '../support/capture.ts';
import { newDatabase, rows, session, sql, stockDump, testServer } from '../support/postgres.ts';
import { newProject } from '../support/supabase.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

const asRole = (url: string, role: string): string => url.replace(/\/\/postgres:[^@]*@/, `//${role}:secret@`);
const failing = async (
  args: readonly string[],
): Promise<{ code: string; remedy: string; message: string }> => {
  const ran = await tidemark([...args, '--json']);
  expect(ran.exitCode).not.toBe(0);
  return (JSON.parse(ran.stdout) as { error: { code: string; remedy: string; message: string } }).error;
};

/** The emulation makes the project's role a member of storage's; the platform itself does not. */
const MEMBER_OF_STORAGE = ['storage.buckets', 'storage.migrations', 'storage.objects'];

describe.for([15, 18] as const)(
  'PostgreSQL %i, a Supabase project as far as stock PostgreSQL can show it',
  (major) => {
    let server: ThrowawayServer;
    let project: Awaited<ReturnType<typeof newProject>>;
    beforeAll(async () => {
      server = await testServer(major);
      project = await newProject(server);
      await sql(
        project.url,
        'CREATE TABLE public.profiles (id int PRIMARY KEY); CREATE TABLE public.notes (v int)',
      );
    });
    afterAll(() => server[Symbol.asyncDispose]());

    test('the project’s own role without help: its tables, no triggers, and the platform’s tables are told', async () => {
      await using folder = await temporaryFolder();
      const before = await traces(project.admin);
      const made = await initCapture(project.url, folder.path);
      expect(made).toMatchObject({ allTables: false, eventTriggers: false, pending: [], role: 'project' });
      const names = await namesOf(folder.path);
      expect(await members(project.admin, names.rows)).toEqual(['notes', 'profiles', ...MEMBER_OF_STORAGE]);
      expect(await members(project.admin, names.changes)).toEqual(['profiles', ...MEMBER_OF_STORAGE]);
      const { insertOnly, notCaptured } = made['tables'] as Record<
        string,
        { schema: string; name: string; reason: string }[]
      >;
      expect(insertOnly?.map((table) => table.name)).toEqual(['notes']);
      expect(notCaptured).toContainEqual({
        schema: 'auth',
        name: 'users',
        reason: 'belongs to supabase_auth_admin',
      });
      await sql(
        project.url,
        'CREATE TABLE public.later (v int); INSERT INTO public.later VALUES (1); UPDATE public.later SET v = 2',
      );
      expect((await initCapture(project.url, folder.path))['done']).toEqual([
        `public.later added to ${names.rows}`,
      ]);
      await sql(project.url, 'DROP TABLE public.later');
      await tidemarkJson(['init', '--remove', '--url', project.url, '--repository', folder.path]);
      expect(await traces(project.admin)).toEqual(before);
    });

    test('what a superuser runs for it: all tables and triggers; the project reads the secret, others don’t', async () => {
      await using folder = await temporaryFolder();
      const before = await traces(project.admin);
      const common = ['--url', project.url, '--repository', folder.path];
      await runScript(
        project.admin,
        major,
        (await tidemark(['init', '--capture', '--print-sql', ...common])).stdout,
      );
      expect(await initCapture(project.url, folder.path)).toMatchObject({
        done: [],
        allTables: true,
        eventTriggers: true,
      });
      const { changes } = await namesOf(folder.path);
      expect(await members(project.admin, changes)).toContain('auth.users');
      await sql(project.url, 'CREATE TABLE public.more (id int PRIMARY KEY)');
      expect(await members(project.admin, changes)).toContain('more');
      const messages = ddlMessages(await peek(project.url, folder.path));
      expect(messages.map(({ facts }) => facts.tag)).toContain('CREATE TABLE');
      for (const message of messages) expect(await verifies(project.url, message)).toBe(true);
      await sql(
        project.admin,
        `DROP ROLE IF EXISTS curious; CREATE ROLE curious LOGIN PASSWORD 'secret'; GRANT pg_read_all_data TO curious`,
      );
      expect(await rows(asRole(project.admin, 'curious'), 'SELECT key FROM tidemark.secret')).toEqual([]);
      await sql(project.url, 'DROP TABLE public.more');
      expect(await failing(['init', '--remove', ...common])).toMatchObject({ code: 'source.permission' });
      await runScript(
        project.admin,
        major,
        (await tidemark(['init', '--remove', '--print-sql', ...common])).stdout,
      );
      await sql(project.admin, 'DROP ROLE curious');
      expect(await traces(project.admin)).toEqual(before);
    });
  },
);

describe.for([14, 18] as const)('PostgreSQL %i, roles of few rights', (major) => {
  let server: ThrowawayServer;
  beforeAll(async () => {
    server = await testServer(major);
    await sql(
      server.url(),
      `CREATE ROLE plain LOGIN REPLICATION PASSWORD 'secret'; CREATE ROLE poor LOGIN PASSWORD 'secret'`,
    );
  });
  afterAll(() => server[Symbol.asyncDispose]());

  async function prepared(): Promise<string> {
    const url = await newDatabase(server);
    const name = new URL(url).pathname.slice(1);
    await sql(
      url,
      `CREATE TABLE own (id int PRIMARY KEY, v int); CREATE TABLE own_keyless (v int); CREATE TABLE others (id int PRIMARY KEY);
       ALTER TABLE own OWNER TO plain; ALTER TABLE own_keyless OWNER TO plain; GRANT CREATE ON DATABASE ${name} TO plain, poor;
       GRANT CREATE ON SCHEMA public TO plain, poor`,
    );
    return url;
  }

  test('a plain REPLICATION role: its own tables; partitions to come; nothing breaks', async () => {
    await using folder = await temporaryFolder();
    const admin = await prepared();
    const url = asRole(admin, 'plain');
    const [before, dumped] = [await traces(admin), await stockDump(admin, major, ['-s'])];
    const made = await initCapture(url, folder.path);
    expect(made['tables']).toMatchObject({
      insertOnly: [{ name: 'own_keyless', reason: 'no primary key' }],
      notCaptured: [{ name: 'others', reason: 'belongs to postgres' }],
    });
    const names = await namesOf(folder.path);
    await sql(
      url,
      `CREATE TABLE parted (id int, v int) PARTITION BY RANGE (id); CREATE TABLE parted_1 PARTITION OF parted (PRIMARY KEY (id)) FOR VALUES FROM (0) TO (9)`,
    );
    expect(await initCapture(url, folder.path)).toMatchObject({ pending: [] });
    expect(await members(admin, names.changes)).toEqual(['own', 'parted_1']);
    await sql(
      url,
      `CREATE TABLE parted_2 (id int, v int); ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (10) TO (20);
       INSERT INTO parted VALUES (1, 1), (11, 1); UPDATE parted SET v = 2; UPDATE own_keyless SET v = 2`,
    );
    await sql(url, 'ALTER TABLE own DROP CONSTRAINT own_pkey');
    expect((await initCapture(url, folder.path))['done']).toContain(
      `public.own taken out of ${names.changes}`,
    );
    await sql(
      url,
      'INSERT INTO own VALUES (1, 1); UPDATE own SET v = 2; ALTER TABLE own ADD PRIMARY KEY (id); DROP TABLE parted',
    );
    await tidemarkJson(['init', '--remove', '--url', url, '--repository', folder.path]);
    expect(await stockDump(admin, major, ['-s'])).toBe(dumped);
    expect(JSON.stringify(await traces(admin))).not.toContain('tidemark');
    expect(JSON.stringify(before)).not.toContain('tidemark');
  });

  test('what is missing is named, and nothing is left behind', async () => {
    await using folder = await temporaryFolder();
    const admin = await prepared();
    const before = await traces(admin);
    const init = (url: string): string[] => ['init', '--capture', '--url', url, '--repository', folder.path];
    expect(await failing(init(asRole(admin, 'poor')))).toMatchObject({
      code: 'source.no_replication',
      message: expect.stringMatching(/poor/),
    });
    await sql(admin, `REVOKE CREATE ON DATABASE ${new URL(admin).pathname.slice(1)} FROM plain`);
    expect(await failing(init(asRole(admin, 'plain')))).toMatchObject({ code: 'source.permission' });
    await sql(
      admin,
      `GRANT CREATE ON DATABASE ${new URL(admin).pathname.slice(1)} TO plain; REASSIGN OWNED BY plain TO postgres`,
    );
    expect(await failing(init(asRole(admin, 'plain')))).toMatchObject({
      code: 'source.permission',
      message: expect.stringMatching(/none of the 3/),
    });
    await sql(admin, 'CREATE SCHEMA tidemark AUTHORIZATION poor; ALTER TABLE own OWNER TO plain');
    expect(await failing(init(asRole(admin, 'plain')))).toMatchObject({
      message: expect.stringMatching(/belongs to poor/),
    });
    await sql(
      admin,
      `DROP SCHEMA tidemark; ALTER TABLE own OWNER TO postgres; ALTER TABLE own_keyless OWNER TO plain; ALTER TABLE own OWNER TO plain; GRANT CREATE ON DATABASE ${new URL(admin).pathname.slice(1)} TO plain`,
    );
    expect(JSON.stringify(await traces(admin))).not.toContain('tidemark');
    expect(before).toBeDefined();
  });

  test('forged messages don’t verify, the secret and its signature are out of reach, and no rights can be stolen', async () => {
    await using folder = await temporaryFolder();
    const admin = await prepared();
    await initCapture(admin, folder.path);
    const poor = asRole(admin, 'poor');
    await using attacker = await session(poor);
    for (const statement of [
      'SELECT key FROM tidemark.secret',
      `SELECT tidemark.sign('x')`,
      `SELECT tidemark.emit('{}')`,
      `SELECT tidemark.note_ddl('', 'CREATE TABLE')`,
    ])
      await expect(attacker.query(statement)).rejects.toMatchObject({ code: 'source.permission' });
    await attacker.execute(
      `SELECT pg_logical_emit_message(true, 'tidemark:ddl', '${'0'.repeat(64)}' || E'\\n' || '{"kind":"drop","tag":"DROP TABLE","xid":"1"}')`,
    );
    // A temporary view in the place of a catalog, which would run as the trigger's owner.
    await attacker.execute(`
      CREATE FUNCTION public.steal() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        EXECUTE 'ALTER ROLE poor SUPERUSER'; RETURN true; EXCEPTION WHEN OTHERS THEN RETURN true; END $$;
      CREATE FUNCTION public.equal(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT public.steal()';
      CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.equal);
      CREATE TEMP VIEW pg_publication AS SELECT * FROM pg_catalog.pg_publication WHERE public.steal();
      CREATE TEMP VIEW pg_class AS SELECT * FROM pg_catalog.pg_class WHERE public.steal();
      SET search_path = public, pg_temp, pg_catalog;
      CREATE TABLE public.bait (id int PRIMARY KEY); ALTER TABLE public.bait ADD v int; DROP TABLE public.bait`);
    expect(await rows(admin, `SELECT rolsuper AS "super" FROM pg_roles WHERE rolname = 'poor'`)).toEqual([
      { super: false },
    ]);
    const messages = ddlMessages(await peek(admin, folder.path));
    const forged = messages.filter((message) => message.digest === '0'.repeat(64));
    expect(forged).toHaveLength(1);
    expect(messages.length).toBeGreaterThan(4);
    for (const message of messages) expect(await verifies(admin, message)).toBe(!forged.includes(message));
    // An application's schema change goes through whatever is wrong with us.
    await sql(admin, 'DELETE FROM tidemark.secret; ALTER TABLE tidemark.source_id RENAME TO lost');
    const warnings: string[] = [];
    await using app = await session(admin, { onNotice: (notice) => warnings.push(notice.message) });
    await app.execute(
      'CREATE TABLE still_works (id int PRIMARY KEY); ALTER TABLE still_works ADD v int DEFAULT random(); DROP TABLE still_works',
    );
    expect(warnings.filter((line) => line.startsWith('tidemark could not record')).length).toBeGreaterThan(2);
    await sql(admin, 'ALTER TABLE tidemark.lost RENAME TO source_id');
    await tidemarkJson(['init', '--remove', '--url', admin, '--repository', folder.path]);
    expect(JSON.stringify(await traces(admin))).not.toContain('tidemark');
  });
});
