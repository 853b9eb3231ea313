import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import type { Connection } from '../../src/postgres/connection.ts';
import { initCapture, members, namesOf, traces } from '../support/capture.ts';
import {
  absentDatabase,
  newDatabase,
  rows,
  session,
  sql,
  stockDump,
  testServer,
} from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

interface Refused {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
  readonly facts: Record<string, unknown>;
}

async function refused(args: readonly string[]): Promise<Refused> {
  const ran = await tidemark([...args, '--json']);
  expect(ran.exitCode).not.toBe(0);
  return (JSON.parse(ran.stdout) as { error: Refused }).error;
}

/** A walsender on a slot, under a name of its own; streams until it is ended. */
async function stream(url: string, slot: string, application: string): Promise<Connection> {
  const walsender = await session(url, { replication: true });
  await walsender.execute(`SET application_name = '${application}'`);
  void walsender
    .execute(
      `START_REPLICATION SLOT ${slot} LOGICAL 0/0 (proto_version '1', publication_names 'tidemark_main_rows')`,
    )
    .catch(() => undefined);
  await until(async () => {
    const [found] = await rows<{ active: boolean }>(
      url,
      `SELECT active FROM pg_replication_slots WHERE slot_name = '${slot}'`,
    );
    return found?.active === true;
  });
  return walsender;
}

describe.for([14, 18] as const)('PostgreSQL %i', (major) => {
  let server: ThrowawayServer;
  beforeAll(async () => {
    server = await testServer(major, { max_replication_slots: '8', max_prepared_transactions: '5' });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  async function source(): Promise<{ url: string; common: (folder: string) => string[] }> {
    const url = await newDatabase(server);
    await sql(
      url,
      'CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE keyless (v int); INSERT INTO t SELECT n FROM generate_series(1, 100) n',
    );
    return { url, common: (folder) => ['--url', url, '--repository', folder] };
  }

  test('an old transaction holds the slot up: named, given up in time, nothing half-made; then it works', async () => {
    await using folder = await temporaryFolder();
    const { url, common } = await source();
    const other = await newDatabase(server);
    await using idle = await session(other);
    await idle.execute('BEGIN; CREATE TABLE x (id int)');
    const failure = await refused(['init', '--capture', '--patience', '1s', ...common(folder.path)]);
    expect(failure).toMatchObject({ code: 'source.old_transaction', facts: { pid: idle.backendPid } });
    expect(failure.message).toMatch(new RegExp(`pid ${idle.backendPid} .*\\d+ s old`));
    await idle.execute(`PREPARE TRANSACTION 'forgotten'`);
    expect(
      (await refused(['init', '--capture', '--patience', '500ms', ...common(folder.path)])).message,
    ).toContain('"forgotten"');
    expect(await rows(url, 'SELECT 1 FROM pg_replication_slots')).toEqual([]);
    await idle.execute(`ROLLBACK PREPARED 'forgotten'`);
    expect(await initCapture(url, folder.path)).toMatchObject({
      pending: [],
      slot: { plugin: 'pgoutput', failover: major >= 17 },
    });
    await tidemarkJson(['init', '--remove', ...common(folder.path)]);
  });

  test('removal ends our own stream, and no stranger’s', async () => {
    await using folder = await temporaryFolder();
    const { url, common } = await source();
    const before = await traces(url);
    await initCapture(url, folder.path);
    const { slot } = await namesOf(folder.path);
    const stranger = await stream(url, slot, 'somebody');
    expect(await refused(['init', '--remove', ...common(folder.path)])).toMatchObject({
      code: 'source.slot_in_use',
      message: expect.stringContaining('"somebody"') as string,
    });
    await sql(
      url,
      `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '${slot}'`,
    );
    await stranger[Symbol.asyncDispose]();
    const own = await stream(url, slot, 'tidemark capture');
    await tidemarkJson(['init', '--remove', ...common(folder.path)]);
    await own[Symbol.asyncDispose]();
    expect(await traces(url)).toEqual(before);
  });

  test('two repositories share what they can; what one still needs stays', async () => {
    await using first = await temporaryFolder();
    await using second = await temporaryFolder();
    const { url, common } = await source();
    const before = await traces(url);
    await initCapture(url, first.path);
    expect((await initCapture(url, second.path))['done']).toHaveLength(1);
    const kept = await tidemarkJson(['init', '--remove', ...common(first.path)]);
    expect(kept['kept']).toHaveLength(1);
    expect(await rows(url, 'SELECT slot_name AS "slot" FROM pg_replication_slots')).toEqual([
      { slot: (await namesOf(second.path)).slot },
    ]);
    expect(await initCapture(url, second.path)).toMatchObject({ done: [] });
    await tidemarkJson(['init', '--remove', ...common(second.path)]);
    expect(await traces(url)).toEqual(before);
  });

  test('drift is repaired, and a slot that lost its publication is made anew and said to be', async () => {
    await using folder = await temporaryFolder();
    const { url, common } = await source();
    await initCapture(url, folder.path);
    const names = await namesOf(folder.path);
    await sql(
      url,
      `ALTER PUBLICATION ${names.rows} SET (publish = 'insert, update'); ALTER PUBLICATION ${names.changes} DROP TABLE t;
       DROP EVENT TRIGGER tidemark_drop`,
    );
    const doctor = await tidemark(['doctor', '--json', ...common(folder.path)]);
    expect(doctor.exitCode).toBe(3);
    expect(JSON.parse(doctor.stdout)).toMatchObject({
      findings: expect.arrayContaining([
        expect.objectContaining({ check: 'capture.drift', level: 'warning' }),
      ]) as unknown,
    });
    expect((await initCapture(url, folder.path))['done']).toEqual([
      `options of publication ${names.rows}, which somebody had changed`,
      'event trigger tidemark_drop',
      `public.t added to ${names.changes}`,
    ]);
    if (major >= 15) {
      await sql(url, `ALTER PUBLICATION ${names.changes} SET TABLE t WHERE (id > 5)`);
      expect((await initCapture(url, folder.path))['done']).toHaveLength(2);
    }
    await sql(url, `UPDATE keyless SET v = 1; DROP PUBLICATION ${names.changes}`);
    const again = await initCapture(url, folder.path);
    expect(again['warnings']).toContainEqual(expect.stringContaining('has a gap'));
    expect(await members(url, names.changes)).toEqual(['t']);
    const doctorAgain = JSON.parse(
      (await tidemark(['doctor', '--json', ...common(folder.path)])).stdout,
    ) as unknown;
    expect(doctorAgain).toMatchObject({
      findings: expect.arrayContaining([
        expect.objectContaining({ check: 'capture', level: 'ok' }),
        expect.objectContaining({ check: 'capture.connection', level: 'ok' }),
      ]) as unknown,
    });
    await tidemarkJson(['init', '--remove', ...common(folder.path)]);
  });

  test('two schema changes at once: neither waits for long nor fails, whoever holds the publication', async () => {
    await using folder = await temporaryFolder();
    const { url, common } = await source();
    await initCapture(url, folder.path);
    const { changes } = await namesOf(folder.path);
    await using first = await session(url);
    await using second = await session(url);
    await first.execute('BEGIN; CREATE TABLE one (id int PRIMARY KEY)');
    const started = performance.now();
    await second.execute('CREATE TABLE two (id int PRIMARY KEY)');
    expect(performance.now() - started).toBeLessThan(3000);
    await first.execute('COMMIT');
    await initCapture(url, folder.path);
    expect(await members(url, changes)).toEqual(['one', 't', 'two']);
    await tidemarkJson(['init', '--remove', ...common(folder.path)]);
  });

  test('a table that somebody holds is pending, not failed; a second set-up waits its turn', async () => {
    await using folder = await temporaryFolder();
    const { url, common } = await source();
    await using holder = await session(url);
    await holder.execute('BEGIN; LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE');
    const ran = await tidemark(['init', '--capture', '--json', ...common(folder.path)]);
    expect(ran.exitCode).toBe(3);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      ok: false,
      pending: [expect.stringContaining('another session holds a lock')],
    });
    await holder.execute('ROLLBACK');
    const both = await Promise.all([initCapture(url, folder.path), initCapture(url, folder.path)]);
    expect(both.map((made) => (made['done'] as string[]).length).sort((a, b) => a - b)).toEqual([0, 1]);
    await tidemarkJson(['init', '--remove', ...common(folder.path)]);
  });

  test.for(['copy', 'pg_dump'])(
    'a snapshot of such a source restores without what capture keeps there (%s)',
    async (engine) => {
      await using folder = await temporaryFolder();
      const { url, common } = await source();
      const plain = await stockDump(url, major);
      await initCapture(url, folder.path);
      await tidemarkJson(['snapshot', '--engine', engine, ...common(folder.path)]);
      const target = absentDatabase(server);
      await tidemarkJson(['restore', ...common(folder.path), '--target', target, '--create']);
      expect(await stockDump(target, major)).toBe(plain);
      await tidemarkJson(['restore', ...common(folder.path), '--target', target, '--clean', '--yes']);
      expect(await stockDump(target, major)).toBe(plain);
      await tidemarkJson(['init', '--remove', ...common(folder.path)]);
    },
  );
});

test('wal_level and full slots are named, with the remedy; nothing is left behind', async () => {
  await using folder = await temporaryFolder();
  await using replica = await testServer(17, { wal_level: 'replica' });
  const common = (server: ThrowawayServer): string[] => ['--url', server.url(), '--repository', folder.path];
  expect(await refused(['init', '--capture', ...common(replica)])).toMatchObject({
    code: 'source.wal_level',
    facts: { walLevel: 'replica' },
    remedy: expect.stringContaining('ALTER SYSTEM SET wal_level = logical') as string,
  });
  await sql(replica.url(), 'CREATE ROLE rds_superuser');
  expect((await refused(['init', '--capture', '--print-sql', ...common(replica)])).remedy).toContain(
    'rds.logical_replication = 1',
  );
  await using full = await testServer(17, { max_replication_slots: '1' });
  await sql(full.url(), `SELECT pg_create_physical_replication_slot('theirs')`);
  expect(await refused(['init', '--capture', ...common(full)])).toMatchObject({ code: 'source.no_slot' });
  for (const server of [replica, full])
    expect(JSON.stringify(await traces(server.url()))).not.toContain('tidemark');
});
