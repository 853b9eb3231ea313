// What breaks the chain on the source's side: each becomes a gap, and both sides of it can be restored.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { beaten, captured, moment, overcome } from '../support/bad-day.ts';
import { namesOf } from '../support/capture.ts';
import { capture } from '../support/capturing.ts';
import { newDatabase, rows, sql, testServer } from '../support/postgres.ts';
import { until } from '../support/until.ts';

const LOST = `INSERT INTO ledger (note) VALUES ('lost')`;

describe.for([14, 18] as const)('PostgreSQL %i', { timeout: 120_000 }, (major) => {
  let server: ThrowawayServer;
  beforeAll(async () => {
    server = await testServer(major, { max_replication_slots: '20', max_wal_senders: '20' });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test('I 42: the server gave the slot up, since max_slot_wal_keep_size was reached', async () => {
    await using company = await captured(server);
    const { url, path } = company;
    const { slot } = await namesOf(path);
    await sql(url, LOST);
    const lost = await moment(url);
    await sql(url, 'ALTER SYSTEM SET max_slot_wal_keep_size = 1');
    await sql(url, 'SELECT pg_reload_conf()');
    await until(async () => {
      await sql(url, 'CREATE TABLE filler (); DROP TABLE filler; SELECT pg_switch_wal(); CHECKPOINT');
      const [found] = await rows<{ status: string }>(
        url,
        `SELECT wal_status AS "status" FROM pg_replication_slots WHERE slot_name = '${slot}'`,
      );
      return found?.status === 'lost';
    });
    await sql(url, 'ALTER SYSTEM RESET max_slot_wal_keep_size');
    await sql(url, 'SELECT pg_reload_conf()');
    expect(await overcome(server, company, { lost })).toEqual(['slot-lost']);
  });

  test('I 21: publications made anew, equal to what they were, while capture is stopped', async () => {
    await using company = await captured(server);
    const { url, path } = company;
    const { rows: published } = await namesOf(path);
    // What was stored behind the last heartbeat does not count.
    await beaten(url, path);
    await sql(url, `DROP PUBLICATION ${published}`);
    await sql(url, LOST);
    const lost = await moment(url);
    await sql(url, `CREATE PUBLICATION ${published} FOR ALL TABLES WITH (publish = 'insert, truncate')`);
    expect(await overcome(server, company, { lost })).toEqual(['publication-changed']);
  });
});

describe('on one major', { timeout: 120_000 }, () => {
  let server: ThrowawayServer;
  beforeAll(async () => {
    server = await testServer(16, { max_replication_slots: '20', max_wal_senders: '20' });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test('I 21: publications made anew, equal to what they were, while capture runs', async () => {
    await using company = await captured(server);
    const { url, path } = company;
    const { rows: published } = await namesOf(path);
    await beaten(url, path);
    const run = capture(url, path);
    await run.said('streaming');
    await sql(url, `DROP PUBLICATION ${published}; ${LOST}`);
    const lost = await moment(url);
    await sql(url, `CREATE PUBLICATION ${published} FOR ALL TABLES WITH (publish = 'insert, truncate')`);
    expect(await overcome(server, company, { lost, run })).toEqual(['publication-changed']);
  });

  test('I 51: a store took nothing, until the source was relieved of the slot', async () => {
    await using company = await captured(server);
    const { url, path } = company;
    const stuck = { TIDEMARK_FAILPOINTS: 'capture.run-packed=pause' };
    const run = capture(url, path, ['--max-slot-lag', '1MB'], stuck);
    await run.said('streaming');
    await sql(url, `INSERT INTO ledger (note) SELECT repeat('x', 1000) FROM generate_series(1, 3000)`);
    const lost = await moment(url);
    await run.said('snapshot-wanted');
    const { slot } = await namesOf(path);
    await until(
      async () =>
        (await rows(url, `SELECT FROM pg_replication_slots WHERE slot_name = '${slot}'`)).length === 0,
    );
    // It would wait for a minute.
    await run.stop('SIGKILL');
    expect(await overcome(server, company, { lost, isRecorded: true })).toEqual(['slot-lag']);
  });

  test('I 43: somebody moved the slot on', async () => {
    await using company = await captured(server);
    const { url, path } = company;
    const { slot } = await namesOf(path);
    await sql(url, LOST);
    await sql(url, `SELECT pg_replication_slot_advance('${slot}', pg_current_wal_lsn())`);
    const lost = await moment(url);
    expect(await overcome(server, company, { lost })).toEqual(['foreign-consumer']);
  });

  test('I 41: somebody dropped the slot and made another one under its name: not ours to drop', async () => {
    await using company = await captured(server);
    const { url, path } = company;
    const { slot } = await namesOf(path);
    await sql(url, `SELECT pg_drop_replication_slot('${slot}')`);
    const elsewhere = await newDatabase(server);
    await sql(elsewhere, `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    const run = capture(url, path);
    expect(await run.said('snapshot-wanted')).toMatchObject({ reason: 'slot-dropped' });
    expect(await run.said('lost')).toMatchObject({ failure: { code: 'source.slot_in_use' } });
    const left = `SELECT database AS "database" FROM pg_replication_slots WHERE slot_name = '${slot}'`;
    expect(await rows(url, left)).toEqual([{ database: new URL(elsewhere).pathname.slice(1) }]);
    await sql(elsewhere, `SELECT pg_drop_replication_slot('${slot}')`);
    await run.said('streaming');
    expect((await run.stop()).exitCode).toBe(0);
    expect(await rows(url, left)).toEqual([{ database: new URL(url).pathname.slice(1) }]);
  });
});
