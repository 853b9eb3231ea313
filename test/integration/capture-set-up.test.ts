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
import { MAJORS, newDatabase, rows, session, sql, stockDump, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

/** A bit of everything that a set-up has to decide about. */
const TABLES = `
  CREATE TABLE keyed (id int PRIMARY KEY, v text); INSERT INTO keyed VALUES (1, 'a');
  CREATE TABLE keyless (v int); INSERT INTO keyless VALUES (1);
  CREATE TABLE whole (v int); ALTER TABLE whole REPLICA IDENTITY FULL;
  CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
  CREATE TABLE later (id int PRIMARY KEY DEFERRABLE);
  CREATE TABLE made (v int, w int GENERATED ALWAYS AS (v + 1) STORED PRIMARY KEY);
  CREATE TABLE full_made (v int, w int GENERATED ALWAYS AS (v + 1) STORED); ALTER TABLE full_made REPLICA IDENTITY FULL;
  CREATE TABLE by_index (v int NOT NULL); CREATE UNIQUE INDEX by_index_v ON by_index (v); ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_v;
  CREATE TABLE parted (id int, v int) PARTITION BY RANGE (id);
  CREATE TABLE parted_1 PARTITION OF parted (PRIMARY KEY (id)) FOR VALUES FROM (0) TO (10);
  CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
  CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
  CREATE SCHEMA "odd ""one"; CREATE TABLE "odd ""one"."a:'b'" (id int PRIMARY KEY)`;

describe.for(MAJORS)('PostgreSQL %i', (major) => {
  let server: ThrowawayServer;
  beforeAll(async () => {
    server = await testServer(major, { max_replication_slots: '30' });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test('a superuser: all is installed, once; removed without a trace', async () => {
    await using folder = await temporaryFolder();
    const url = await newDatabase(server);
    await sql(url, TABLES);
    const [before, dumped] = [await traces(url), await stockDump(url, major, ['-s'])];
    const made = await initCapture(url, folder.path);
    const names = await namesOf(folder.path);
    expect(made['pending']).toEqual([]);
    expect(await members(url, names.changes)).toEqual(
      [
        '"odd ""one"."a:\'b\'"',
        'by_index',
        ...(major < 18 ? ['full_made'] : []),
        'keyed',
        'parted_1',
        'whole',
      ].sort(),
    );
    const { insertOnly, notCaptured } = made['tables'] as Record<string, { name: string; reason: string }[]>;
    expect(insertOnly?.map((table) => `${table.name}: ${table.reason}`)).toEqual([
      ...(major < 18 ? [] : ['full_made: REPLICA IDENTITY FULL with generated columns']),
      'keyless: no primary key',
      'later: its key is DEFERRABLE',
      'made: its key holds a generated column',
      'nothing: REPLICA IDENTITY NOTHING',
      'parted_2: no primary key',
    ]);
    expect(notCaptured?.map((table) => table.name)).toEqual(['unlogged']);
    const installed = await traces(url);
    expect(await initCapture(url, folder.path)).toMatchObject({ done: [], pending: [] });
    expect(await traces(url)).toEqual(installed);
    // Every update that worked before still does: P7.
    await sql(
      url,
      `UPDATE keyless SET v = 2; UPDATE parted SET v = 2; UPDATE nothing SET id = 2; UPDATE later SET id = 2;
       UPDATE made SET v = 2; UPDATE full_made SET v = 2; UPDATE keyed SET v = 'b'`,
    );
    await tidemarkJson(['init', '--remove', '--url', url, '--repository', folder.path]);
    expect(await traces(url)).toEqual(before);
    expect(await stockDump(url, major, ['-s'])).toBe(dumped);
  });

  test('the application’s schema changes: never broken, recorded with a digest, publications follow', async () => {
    await using folder = await temporaryFolder();
    const url = await newDatabase(server);
    await sql(url, TABLES);
    await initCapture(url, folder.path);
    const { changes } = await namesOf(folder.path);
    const first = await members(url, changes);
    await using app = await session(url);
    await app.execute(`SET search_path = "odd ""one", public`);
    await app.execute('CREATE TABLE public.new_keyless (v int)');
    await app.execute('INSERT INTO public.new_keyless VALUES (1); UPDATE public.new_keyless SET v = 2');
    await app.execute(
      'CREATE TABLE public.new_keyed (id int PRIMARY KEY); INSERT INTO public.new_keyed VALUES (1); UPDATE public.new_keyed SET id = 2',
    );
    expect(await members(url, changes)).toEqual([...first, 'new_keyed'].sort());
    await app.execute('ALTER TABLE public.keyed DROP CONSTRAINT keyed_pkey; UPDATE public.keyed SET id = 2');
    await app.execute('ALTER TABLE public.keyless ADD PRIMARY KEY (v); UPDATE public.keyless SET v = 3');
    await app.execute('DROP INDEX public.by_index_v; UPDATE public.by_index SET v = 3');
    await app.execute(
      'CREATE TABLE public.parted_3 (id int, v int); ALTER TABLE public.parted ATTACH PARTITION public.parted_3 FOR VALUES FROM (20) TO (30)',
    );
    await app.execute('INSERT INTO public.parted VALUES (25, 1), (5, 1); UPDATE public.parted SET v = 2');
    await app.execute('ALTER TABLE public.whole ADD u uuid DEFAULT gen_random_uuid()');
    await app.execute('CREATE INDEX CONCURRENTLY ON public.keyed (v)');
    await app.execute('CREATE TEMP TABLE gone (v int); DROP TABLE gone');
    const now = ['keyless', 'new_keyed', ...first.filter((name) => !['keyed', 'by_index'].includes(name))];
    expect(await members(url, changes)).toEqual(now.sort());
    // The trigger and the plan judge tables alike.
    expect(await initCapture(url, folder.path)).toMatchObject({ done: [], pending: [] });
    const stream = await peek(url, folder.path);
    const messages = ddlMessages(stream);
    const said = (kind: string, identity: string) =>
      messages.find(
        (message) =>
          message.facts.kind === kind &&
          message.facts.objects?.some((object) => object.identity === identity),
      );
    for (const message of messages) expect(await verifies(url, message)).toBe(true);
    expect(said('ddl', 'public.new_keyed')?.facts.relations).toMatchObject([
      {
        name: 'new_keyed',
        columns: [{ name: 'id', type: 'integer', notNull: true }],
        indexes: [{ primary: true }],
      },
    ]);
    expect(said('ddl', 'public.new_keyed')?.facts).toMatchObject({
      searchPath: '"odd ""one", public',
      sessionUser: 'postgres',
    });
    expect(said('drop', 'keyed_pkey on public.keyed')).toBeDefined();
    expect(messages.some(({ facts }) => facts.kind === 'rewrite' && facts['relation'] !== undefined)).toBe(
      true,
    );
    expect(messages.some(({ body }) => body.includes('"gone"'))).toBe(false);
    // B … update … C: an update of new_keyed is in the stream, one of new_keyless is not.
    const updates = stream
      .filter((message) => message.at(0) === 0x55)
      .map((message) => message.readUInt32BE(1));
    const oid = async (name: string): Promise<number> =>
      Number(
        (await rows<{ oid: string }>(url, `SELECT '${name}'::regclass::oid::int8::text AS "oid"`))[0]?.oid,
      );
    expect(updates).toContain(await oid('public.new_keyed'));
    expect(updates).not.toContain(await oid('public.new_keyless'));
    expect(updates).not.toContain(await oid('public.parted_3'));
    await tidemarkJson(['init', '--remove', '--url', url, '--repository', folder.path]);
  });

  test('what a DBA runs from --print-sql is what init --capture installs', async () => {
    await using folder = await temporaryFolder();
    const [direct, printed] = [await newDatabase(server), await newDatabase(server)];
    for (const url of [direct, printed]) await sql(url, TABLES);
    const before = await traces(printed);
    const common = (url: string): string[] => ['--url', url, '--repository', folder.path];
    const script = await tidemark(['init', '--capture', '--print-sql', ...common(printed)]);
    expect(script.exitCode).toBe(0);
    expect(script.stdout).not.toMatch(/\\x[0-9a-f]{16}/);
    await runScript(printed, major, script.stdout);
    const slots = `SELECT database, plugin, temporary FROM pg_replication_slots WHERE database = current_database()`;
    const found = await rows(printed, slots);
    expect(await initCapture(printed, folder.path)).toMatchObject({ done: [] });
    const removal = await tidemark(['init', '--remove', '--print-sql', ...common(printed)]);
    const dumped = await stockDump(printed, major, ['-s']);
    await runScript(printed, major, removal.stdout);
    await initCapture(direct, folder.path);
    expect(dumped).toBe(await stockDump(direct, major, ['-s']));
    expect(found).toMatchObject([{ plugin: 'pgoutput' }]);
    expect(await rows(printed, slots)).toEqual([]);
    await tidemarkJson(['init', '--remove', ...common(direct)]);
    expect(await traces(printed)).toEqual(before);
  });
});
