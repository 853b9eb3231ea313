// Points that a snapshot alone does not reach: restored by the command line, and held against stock pg_dump.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture } from '../support/capture.ts';
import { capture, catchUp, position } from '../support/capturing.ts';
import { absentDatabase, newDatabase, rows, sql, stockDump, testServer } from '../support/postgres.ts';
import { expectSamePoint } from '../support/same-point.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(17);
});
afterAll(() => server[Symbol.asyncDispose]());

const DATA = ['--data-only', '--exclude-schema=tidemark'];

interface Changes {
  readonly report: { readonly changes: { readonly sequencesKnown: boolean; readonly applied: number } };
}

test(
  'I 39: after a restore no sequence repeats a number that is in a row, owned by a column or not',
  { timeout: 120_000 },
  async () => {
    await using folder = await temporaryFolder();
    const url = await newDatabase(server);
    await sql(
      url,
      `CREATE SEQUENCE invoice CACHE 20; CREATE SEQUENCE ticket INCREMENT -3; CREATE SEQUENCE late;
       CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, invoice text, ticket text, late text)`,
    );
    const take = `INSERT INTO t (invoice, ticket) SELECT 'I' || nextval('invoice'), 'T' || nextval('ticket') FROM generate_series(1, 30)`;
    await initCapture(url, folder.path);
    await catchUp(url, folder.path);
    const common = ['--url', url, '--repository', folder.path];
    await tidemarkJson(['snapshot', ...common]);
    // Seen by no heartbeat before the point, but by one behind it.
    await sql(url, `${take}; UPDATE t SET late = 'L' || nextval('late')`);
    const first = await position(url);
    await sql(url, take);
    await catchUp(url, folder.path);
    // The last heartbeat that tells of sequences comes before it: there is one a minute.
    const run = capture(url, folder.path);
    // A look is told when its heartbeat has committed, and the first one has a heartbeat.
    await run.said('status');
    await sql(url, take);
    const last = await position(url);
    const stored = [
      'restore',
      ...common,
      '--to',
      `lsn:${last}`,
      '--target',
      absentDatabase(server),
      '--create',
    ];
    await until(() =>
      tidemarkJson([...stored, '--dry-run']).then(
        () => true,
        () => false,
      ),
    );
    await run.stop();
    for (const [to, known] of [
      [`lsn:${first}`, true],
      ['latest', false],
    ] as const) {
      const target = absentDatabase(server);
      const { report } = (await tidemarkJson([
        'restore',
        ...common,
        '--to',
        to,
        '--target',
        target,
        '--create',
      ])) as unknown as Changes;
      expect({ to, known: report.changes.sequencesKnown }).toEqual({ to, known });
      const [found] = await rows(
        target,
        `SELECT nextval('invoice') > max(substr(invoice, 2)::int) AS invoice, nextval('ticket') < min(substr(ticket, 2)::int) AS ticket,
                nextval('late') > max(substr(late, 2)::int) AS late, nextval('t_id_seq') > max(id) AS id FROM t`,
      );
      expect({ to, ...found }).toEqual({ to, invoice: true, ticket: true, late: true, id: true });
    }
  },
);

test(
  'P4: a gap of one table does not keep others from coming back, and a snapshot of it alone brings all back, each row once',
  { timeout: 120_000 },
  async () => {
    await using folder = await temporaryFolder();
    const url = await newDatabase(server);
    await sql(
      url,
      `CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY);
       CREATE SEQUENCE loose; ALTER TABLE t ADD n bigint DEFAULT nextval('loose'), ADD i int GENERATED ALWAYS AS IDENTITY;
       INSERT INTO t SELECT n, 'before' FROM generate_series(1, 50) n; INSERT INTO other VALUES (1)`,
    );
    await initCapture(url, folder.path);
    await catchUp(url, folder.path);
    const common = ['--url', url, '--repository', folder.path];
    await tidemarkJson(['snapshot', ...common]);
    // Rewritten, but not redefined.
    await sql(
      url,
      `INSERT INTO other VALUES (2); DELETE FROM t WHERE id < 3; ALTER TABLE t ALTER v TYPE text USING upper(v);
       INSERT INTO other VALUES (3); INSERT INTO t VALUES (60, 'seen')`,
    );
    const beforePart = await position(url);
    await catchUp(url, folder.path);
    const restore = async (...more: string[]) => {
      const target = absentDatabase(server);
      const ran = await tidemark(['restore', ...common, '--target', target, '--create', ...more]);
      return { target, ...ran };
    };
    const count = (target: string, table: string) =>
      rows(target, `SELECT count(*)::int AS n, max(id) AS last FROM ${table}`);
    for (const scope of [
      [],
      ['--table', 't'],
      ['--schema', 'public'],
      ['--table', 'other', '--table', 't'],
    ]) {
      const refused = await restore(...scope);
      expect({ scope, exit: refused.exitCode }).toEqual({ scope, exit: 5 });
      expect(refused.stderr).toContain('changes of public.t are missing before it');
    }
    const others = await restore('--table', 'other');
    expect(others.stderr).not.toContain('recovery.no_point');
    expect(await count(others.target, 'other')).toEqual([{ n: 3, last: 3 }]);

    const part = (await tidemarkJson(['snapshot', ...common, '--table', 't'])) as { snapshot: string };
    await sql(
      url,
      `DELETE FROM t WHERE id > 40 AND id < 50; UPDATE t SET v = v || '!' WHERE id = 60; INSERT INTO other VALUES (4);
       INSERT INTO t VALUES (61, 'later')`,
    );
    await catchUp(url, folder.path);
    const plan = await restore('--table', 't', '--dry-run');
    expect(plan.stdout).toContain(`would restore from snapshot ${part.snapshot}`);
    expect(plan.stdout).toContain('of these tables: public.t\n');
    const one = await restore('--table', 't');
    expect(one.exitCode).toBe(0);
    const truth = await rows(url, 'SELECT * FROM t ORDER BY id');
    expect(await rows(one.target, 'SELECT * FROM t ORDER BY id')).toEqual(truth);

    const both = await restore('--dry-run');
    expect(both.stdout).toContain(`but rows of public.t from snapshot ${part.snapshot}`);
    const all = await restore();
    expect(all.stderr).not.toContain('recovery.no_point');
    expectSamePoint(await stockDump(all.target, 17, DATA), await stockDump(url, 17, DATA));
    expect(
      await rows(
        all.target,
        `SELECT nextval('loose') > max(n) AS n, nextval('t_i_seq') > max(i) AS i FROM t`,
      ),
    ).toEqual([{ n: true, i: true }]);
    // Before the table's own snapshot nothing has its rows.
    expect((await restore('--to', `lsn:${beforePart}`)).exitCode).toBe(5);

    // Made otherwise by now: rows of it do not fit the older snapshot's table.
    await sql(url, 'ALTER TABLE t ALTER v TYPE varchar(9) USING lower(v)');
    await catchUp(url, folder.path);
    await tidemarkJson(['snapshot', ...common, '--table', 't']);
    await sql(url, 'INSERT INTO other VALUES (5)');
    await catchUp(url, folder.path);
    const apart = await restore();
    expect(apart.exitCode).toBe(5);
    expect(apart.stderr).toContain('changes of public.t are missing before it');
  },
);

test(
  'several repositories: a snapshot in one is brought forward by changes in another; without one, what is left',
  { timeout: 120_000 },
  async () => {
    await using folder = await temporaryFolder();
    const url = await newDatabase(server);
    const [local, cloud] = [join(folder.path, 'local'), join(folder.path, 'cloud')];
    await sql(url, 'CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)');
    const configure = (more: string): void =>
      writeFileSync(
        join(folder.path, 'tidemark.yaml'),
        `sources: { main: { url: "${url}" } }\ncapture: { repository: cloud }\n` +
          `repositories: { local: "${local}", cloud: "${cloud}"${more} }\n`,
      );
    configure('');
    const at = { cwd: folder.path };
    await tidemarkJson(['init', '--capture'], at);
    await catchUp(url, cloud);
    const { snapshot } = await tidemarkJson(['snapshot', '--repository', 'local'], at);
    await sql(url, 'INSERT INTO t VALUES (2)');
    await catchUp(url, cloud);

    const restore = async (...more: string[]) => {
      const target = absentDatabase(server);
      const ran = await tidemark(['restore', '--target', target, '--create', ...more], at);
      return { target, ...ran };
    };
    const ids = (target: string) =>
      rows(target, `SELECT string_agg(id::text, ',' ORDER BY id) AS ids FROM t`);
    const plan = await restore('--dry-run');
    expect(plan.stdout).toContain(`would restore from snapshot ${String(snapshot)} in ${local}:`);
    expect(plan.stdout).toMatch(new RegExp(`changes of stream \\S+ in ${cloud},`));
    expect(await ids((await restore()).target)).toEqual([{ ids: '1,2' }]);
    // Each alone has less: no snapshot, or no changes.
    expect((await restore('--repository', 'cloud')).exitCode).toBe(5);
    expect(await ids((await restore('--repository', 'local')).target)).toEqual([{ ids: '1' }]);

    const list = await tidemark(['list'], at);
    expect(list.stdout).toContain(`of ${local} alone: no recovery window`);
    expect(list.stdout).toContain(`of ${cloud} alone: no recovery window`);
    expect(list.stdout.match(/^window: /gm)).toHaveLength(1);
    const late = await restore('--to', 'lsn:FFFFFF/0');
    expect([late.exitCode, late.stderr]).toEqual([5, expect.stringContaining('nearest points: before it ')]);

    await tidemarkJson(['snapshot'], at);
    await catchUp(url, cloud);
    const status = (await tidemark(['status', '--json'], at)).stdout;
    expect(JSON.parse(status)).toMatchObject({
      repository: cloud,
      repositories: [cloud, local],
      windows: [{}],
      ownWindows: [{ repository: cloud }],
    });

    // What does not answer may hold more: nobody is told that something else is the latest.
    configure(`, planned: "${join(folder.path, 'planned')}"`);
    const absent = await restore();
    expect([absent.exitCode, absent.stderr]).toEqual([
      8,
      expect.stringContaining('--repository names one of the others'),
    ]);
    expect((await tidemark(['list'], at)).stdout).toContain('planned, where one is configured');
    mkdirSync(join(folder.path, 'broken'));
    writeFileSync(join(folder.path, 'broken', 'repository.json'), '{}');
    configure(`, broken: "${join(folder.path, 'broken')}"`);
    expect((await restore()).exitCode).toBe(9);
    expect((await restore('--repository', 'cloud', '--dry-run')).exitCode).toBe(0);
    const taken = await tidemark(['snapshot', '--repository', 'local'], at);
    expect([taken.exitCode, taken.stderr]).toEqual([0, expect.stringContaining('can’t be looked at')]);
  },
);

test(
  'P5: a time between the snapshot and its next commits, all stored together, is found by the transactions',
  { timeout: 120_000 },
  async () => {
    await using folder = await temporaryFolder();
    const url = await newDatabase(server);
    await sql(url, 'CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)');
    await initCapture(url, folder.path);
    await catchUp(url, folder.path);
    const common = ['--url', url, '--repository', folder.path];
    const clock = async (): Promise<string> => {
      const [row] = await rows<{ time: string }>(
        url,
        `SELECT pg_sleep(0.01)::text, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time, pg_sleep(0.01)::text`,
      );
      return row?.time ?? '';
    };
    await sql(url, 'INSERT INTO t VALUES (2)');
    const early = await clock();
    await sql(url, 'INSERT INTO t VALUES (3)');
    // Nothing is captured meanwhile: what comes now is one run.
    await tidemarkJson(['snapshot', ...common]);
    const times: string[] = [];
    for (const id of [4, 5]) {
      await sql(url, `INSERT INTO t VALUES (${id})`);
      times.push(await clock());
    }
    await sql(url, 'INSERT INTO t VALUES (6)');
    await catchUp(url, folder.path);
    for (const [at, time] of times.entries()) {
      const target = absentDatabase(server);
      await tidemarkJson(['restore', ...common, '--to', time, '--target', target, '--create']);
      expect(await rows(target, 'SELECT max(id) AS last FROM t')).toEqual([{ last: 4 + at }]);
    }
    const before = await tidemark(['restore', ...common, '--to', early, '--target', absentDatabase(server)]);
    expect(before.exitCode).toBe(5);
  },
);

test(
  'I 35: rows without what they reference, as the source has them, come back, and each broken key is told',
  { timeout: 180_000 },
  async () => {
    await using folder = await temporaryFolder();
    const url = await newDatabase(server);
    await sql(
      url,
      `CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1), (2), (3);
       CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p); INSERT INTO c VALUES (1, 1), (2, 2), (3, 3);
       CREATE TABLE fine (id int PRIMARY KEY REFERENCES c);
       CREATE TABLE parted (id int, p int REFERENCES p) PARTITION BY RANGE (id);
       CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10); INSERT INTO parted VALUES (1, 2)`,
    );
    await initCapture(url, folder.path);
    await catchUp(url, folder.path);
    const common = ['--url', url, '--repository', folder.path];
    const restore = async (...more: string[]) => {
      const target = absentDatabase(server);
      const ran = await tidemark(['restore', ...common, '--target', target, '--create', ...more]);
      return { target, ...ran };
    };
    const orphan = (id: number) =>
      sql(url, `SET session_replication_role = replica; DELETE FROM p WHERE id = ${id}`);
    await tidemarkJson(['snapshot', ...common, '--engine', 'pg_dump']);
    await orphan(1);
    await catchUp(url, folder.path);
    const dumped = await restore();
    expect([dumped.exitCode, dumped.stdout]).toEqual([
      3,
      expect.stringContaining('BROKEN foreign key c_p_fkey of public.c: 1 row(s) lack what they reference'),
    ]);
    expect(dumped.stdout.match(/BROKEN/g)).toHaveLength(1);

    const { snapshot } = await tidemarkJson(['snapshot', ...common]);
    await orphan(2);
    await catchUp(url, folder.path);
    const all = await restore();
    expect(all.stderr).not.toContain('error');
    expect([all.exitCode, all.stdout]).toEqual([3, expect.stringContaining('of public.c: 2 row(s)')]);
    // Not before 18 can one of a partitioned table stand unchecked.
    expect(all.stdout).toContain('parted_p_fkey of public.parted: it is left out');
    expectSamePoint(await stockDump(all.target, 17, DATA), await stockDump(url, 17, DATA));
    expect(
      await rows(
        all.target,
        `SELECT conname::text AS key, convalidated AS valid FROM pg_constraint WHERE contype = 'f' ORDER BY 1`,
      ),
    ).toEqual([
      { key: 'c_p_fkey', valid: false },
      { key: 'fine_id_fkey', valid: true },
    ]);

    const to = ['--to', `snapshot:${String(snapshot)}`];
    const empty = await restore(...to, '--schema-only');
    const filled = await tidemark(['restore', ...common, ...to, '--target', empty.target, '--data-only']);
    expect([filled.exitCode, filled.stdout]).toEqual([3, expect.stringContaining('of public.c: 1 row(s)')]);
  },
);
