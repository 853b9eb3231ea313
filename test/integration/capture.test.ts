// Change capture on real servers: what is committed stands once in the stored stream, whatever happens meanwhile.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture, namesOf } from '../support/capture.ts';
import {
  EXACT,
  exactness,
  LEDGER,
  capture,
  captured,
  catchUp,
  confirmed,
  load,
  position,
} from '../support/capturing.ts';
import { newDatabase, rows, session, sql, testServer } from '../support/postgres.ts';
import { storedStreams, storedWords } from '../support/stored-stream.ts';
import { temporaryFolder, tidemark } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

describe.for([14, 18] as const)('PostgreSQL %i', (major) => {
  let server: ThrowawayServer;
  beforeAll(async () => {
    server = await testServer(major, { max_replication_slots: '20', max_wal_senders: '20' });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  async function prepared(): Promise<{ url: string; path: string } & AsyncDisposable> {
    const folder = await temporaryFolder();
    const url = await newDatabase(server);
    await sql(url, LEDGER);
    await initCapture(url, folder.path);
    return { url, path: folder.path, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
  }

  test('P1: under load, stopped and started again, killed at random: each commit once, never confirmed above', async () => {
    await using at = await prepared();
    const work = load(at.url);
    for (let round = 0; round < 8; round += 1) {
      const run = capture(at.url, at.path);
      await run.said('streaming');
      await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 900));
      await run.stop(round % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
      const streams = await storedStreams({ url: at.path });
      expect(await confirmed(at.url, at.path)).toBeLessThanOrEqual(streams.at(-1)?.to ?? 0n);
    }
    await work.end();
    await catchUp(at.url, at.path);
    expect(await exactness(at.url, at.path)).toEqual(EXACT);
    expect((await captured({ url: at.path })).ids.length).toBeGreaterThan(200);
    expect((await storedWords({ url: at.path })).gaps).toEqual([]);
  });

  test('I 1: commits back to back, restarted after the first is confirmed', async () => {
    await using at = await prepared();
    for (let round = 0; round < 3; round += 1) {
      await sql(at.url, 'INSERT INTO ledger DEFAULT VALUES');
      await catchUp(at.url, at.path);
      const before = await confirmed(at.url, at.path);
      // Nothing lies between two commits of one session but their own records.
      await using connection = await session(at.url);
      for (let count = 0; count < 4; count += 1)
        await connection.execute('INSERT INTO ledger DEFAULT VALUES');
      const run = capture(at.url, at.path);
      await until(async () => (await confirmed(at.url, at.path)) !== before);
      await run.stop('SIGKILL');
    }
    await catchUp(at.url, at.path);
    expect(await exactness(at.url, at.path)).toEqual(EXACT);
  });

  test('heartbeats come back with the position before their xid; forged ones count for nothing (I 52)', async () => {
    await using at = await prepared();
    await sql(at.url, 'CREATE ROLE nobody LOGIN').catch(() => undefined);
    const run = capture(at.url, at.path);
    await run.said('streaming');
    await sql(
      at.url,
      `SET ROLE nobody;
       SELECT pg_logical_emit_message(true, 'tidemark:heartbeat', '{"version":1,"nonce":"00"}');
       SELECT pg_logical_emit_message(true, 'tidemark:ddl', repeat('0', 64) || E'\\n{}')`,
    );
    await run.said('ignored-messages');
    await run.stop();
    const [stream] = await storedStreams({ url: at.path });
    const beats = stream?.runs.flatMap((facts) => facts.heartbeats) ?? [];
    expect(beats.length).toBeGreaterThan(0);
    for (const beat of beats) {
      const found = stream?.transactions.find(({ xid }) => xid === Number(BigInt(beat.xid) & 0xffffffffn));
      expect(found).toBeDefined();
    }
  });

  test('schema changes are exact, a rewrite is a gap of its table; rows of schema tidemark are not stored', async () => {
    await using at = await prepared();
    const run = capture(at.url, at.path);
    await run.said('streaming');
    await sql(at.url, 'CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1)');
    await sql(at.url, 'ALTER TABLE other ADD u uuid DEFAULT gen_random_uuid()');
    await sql(at.url, `UPDATE tidemark.source_id SET only_row = true; INSERT INTO ledger DEFAULT VALUES`);
    await sql(at.url, `CREATE TABLE tidemark.more (id int); INSERT INTO tidemark.more VALUES (1)`);
    await run.said('gap');
    await run.stop();
    await catchUp(at.url, at.path);
    const [stream] = await storedStreams({ url: at.path });
    const tables = stream?.runs.flatMap((facts) =>
      facts.tables.map(({ schema, name }) => `${schema}.${name}`),
    );
    expect(new Set(tables)).toEqual(new Set(['public.ledger', 'public.other']));
    expect(new Set(stream?.runs.map((facts) => facts.ddl))).toEqual(new Set(['exact']));
    const { gaps } = await storedWords({ url: at.path });
    expect(gaps).toMatchObject([
      { reason: 'table-rewritten', stream: stream?.id, tables: [{ name: 'other' }] },
    ]);
  });

  test('I 9: of two captures one stands by, and takes over when the first is killed', async () => {
    await using at = await prepared();
    const work = load(at.url, 1);
    const first = capture(at.url, at.path);
    await first.said('streaming');
    const second = capture(at.url, at.path);
    await second.said('standby');
    await new Promise((resolve) => setTimeout(resolve, 800));
    await first.stop('SIGKILL');
    await second.said('streaming');
    await new Promise((resolve) => setTimeout(resolve, 500));
    await work.end();
    await second.stop();
    await catchUp(at.url, at.path);
    expect(await exactness(at.url, at.path)).toEqual(EXACT);
  });

  test('I 51: a synchronous standby is refused before any commit could wait for it', async () => {
    await using at = await prepared();
    await sql(at.url, `ALTER SYSTEM SET synchronous_standby_names = '*'`);
    await sql(at.url, 'SELECT pg_reload_conf()');
    try {
      const { exitCode, stderr } = await tidemark(['capture', '--url', at.url, '--repository', at.path]);
      expect({ exitCode, stderr }).toMatchObject({
        exitCode: 4,
        stderr: expect.stringContaining('source.synchronous') as unknown,
      });
    } finally {
      await sql(at.url, 'SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names').catch(
        () => undefined,
      );
      await sql(at.url, `ALTER SYSTEM RESET synchronous_standby_names`);
      await sql(at.url, 'SELECT pg_reload_conf()');
    }
  });

  test('I 43: a slot that somebody else has read from is a gap, and a new stream begins behind it', async () => {
    await using at = await prepared();
    await sql(at.url, 'INSERT INTO ledger DEFAULT VALUES');
    await catchUp(at.url, at.path);
    const { slot, rows: published, changes } = await namesOf(at.path);
    await sql(at.url, 'INSERT INTO ledger DEFAULT VALUES');
    await rows(
      at.url,
      `SELECT count(*) FROM pg_logical_slot_get_binary_changes('${slot}', NULL, NULL, 'proto_version', '1', 'publication_names', '${published},${changes}')`,
    );
    await sql(at.url, 'INSERT INTO ledger DEFAULT VALUES');
    await catchUp(at.url, at.path);
    const { ids, streams } = await captured({ url: at.path });
    expect(ids).toEqual(['1', '3']);
    expect(streams).toHaveLength(2);
    const { gaps } = await storedWords({ url: at.path });
    expect(gaps).toMatchObject([{ reason: 'foreign-consumer', stream: streams[0]?.id }]);
  });

  test('I 42: a slot that is gone is a gap; slot and stream are made anew, and a snapshot is asked for', async () => {
    await using at = await prepared();
    await sql(at.url, 'INSERT INTO ledger DEFAULT VALUES');
    await catchUp(at.url, at.path);
    const { slot } = await namesOf(at.path);
    await sql(at.url, `SELECT pg_drop_replication_slot('${slot}')`);
    await sql(at.url, 'INSERT INTO ledger DEFAULT VALUES');
    const run = capture(at.url, at.path);
    await run.said('snapshot-wanted');
    await run.said('streaming');
    await sql(at.url, 'INSERT INTO ledger DEFAULT VALUES');
    await run.stop();
    await catchUp(at.url, at.path);
    expect((await captured({ url: at.path })).ids).toEqual(['1', '3']);
    expect((await storedWords({ url: at.path })).gaps).toMatchObject([{ reason: 'slot-dropped' }]);
  });

  test('I 21, I 22: a publication dropped and made again while capture runs is a gap, from the last heartbeat on', async () => {
    await using at = await prepared();
    const run = capture(at.url, at.path);
    await run.said('streaming');
    await sql(at.url, 'INSERT INTO ledger DEFAULT VALUES');
    const { rows: published } = await namesOf(at.path);
    const before = await position(at.url);
    await sql(at.url, `DROP PUBLICATION ${published}`);
    await sql(at.url, 'INSERT INTO ledger DEFAULT VALUES');
    await sql(at.url, `CREATE PUBLICATION ${published} FOR ALL TABLES WITH (publish = 'insert, truncate')`);
    await run.said('snapshot-wanted');
    await run.said('streaming', 2);
    await sql(at.url, 'INSERT INTO ledger DEFAULT VALUES');
    await run.stop();
    await catchUp(at.url, at.path);
    const { ids, streams } = await captured({ url: at.path });
    expect(ids).toContain('3');
    const { gaps } = await storedWords({ url: at.path });
    expect(gaps).toMatchObject([{ reason: 'publication-changed', stream: streams[0]?.id }]);
    const [{ covered } = { covered: false }] = await rows<{ covered: boolean }>(
      at.url,
      `SELECT '${gaps[0]?.from.lsn}'::pg_lsn <= '${before}'::pg_lsn AS "covered"`,
    );
    expect(covered).toBe(true);
  });

  test('P7: more WAL than --max-slot-lag relieves the source of the slot, and is a gap', async () => {
    await using at = await prepared();
    const run = capture(at.url, at.path, ['--max-slot-lag', '1MB', '--flush', '600s']);
    await run.said('streaming');
    await sql(at.url, `INSERT INTO ledger (note) SELECT repeat('x', 1000) FROM generate_series(1, 3000)`);
    await run.said('snapshot-wanted');
    await until(async () => (await confirmed(at.url, at.path)) === undefined);
    await run.said('waiting');
    await run.stop();
    expect((await storedWords({ url: at.path })).gaps).toMatchObject([{ reason: 'slot-lag' }]);
  });

  test('P7: a fast shutdown of the source ends within seconds while capture runs', async () => {
    const own = await testServer(major);
    await using folder = await temporaryFolder();
    try {
      const url = await newDatabase(own);
      await sql(url, LEDGER);
      await initCapture(url, folder.path);
      const run = capture(url, folder.path, ['--flush', '60s']);
      await run.said('streaming');
      await sql(url, 'INSERT INTO ledger DEFAULT VALUES');
      const started = performance.now();
      await own.stop('fast');
      expect(performance.now() - started).toBeLessThan(5000);
      await run.said('lost');
      await run.stop();
      expect((await captured({ url: folder.path })).ids).toEqual(['1']);
    } finally {
      await own[Symbol.asyncDispose]();
    }
  });
});
