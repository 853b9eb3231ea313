// What the two kinds of connections promise, each against a real server.
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { asLsn } from '../../src/model/lsn.ts';
import type { Lsn } from '../../src/model/lsn.ts';
import { parseConnectionUrl } from '../../src/postgres/connection-settings.ts';
import { ReplicationStream } from '../../src/postgres/replication-stream.ts';
import type { StreamRequest } from '../../src/postgres/replication-stream.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { newDatabase, rows, session, sql, testServer } from '../support/postgres.ts';
import { lsnOf } from '../support/replay.ts';
import { until } from '../support/until.ts';

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(17);
});
afterAll(() => server[Symbol.asyncDispose]());

async function withSlot(): Promise<{ readonly url: string; readonly slot: string; readonly start: Lsn }> {
  const url = await newDatabase(server);
  await sql(url, 'CREATE TABLE t (id int); CREATE PUBLICATION p FOR ALL TABLES');
  const slot = new URL(url).pathname.slice(1);
  const [made] = await rows<{ lsn: string }>(
    url,
    `SELECT lsn::text AS "lsn" FROM pg_create_logical_replication_slot('${slot}', 'pgoutput')`,
  );
  return { url, slot, start: lsnOf(made?.lsn) };
}

function open(
  at: Awaited<ReturnType<typeof withSlot>>,
  onMessage: StreamRequest['onMessage'],
): Promise<ReplicationStream> {
  return ReplicationStream.open(parseConnectionUrl(at.url, {}), {
    slot: at.slot,
    publications: ['p'],
    session: {},
    encrypted: false,
    admit: () => Promise.resolve(at.start),
    onMessage,
    onKeepalive: () => undefined,
    onHeard: () => undefined,
    onNotice: () => undefined,
    signal: new AbortController().signal,
  });
}

async function confirmedOf({ url, slot }: { readonly url: string; readonly slot: string }): Promise<Lsn> {
  const [found] = await rows<{ lsn: string }>(
    url,
    `SELECT (confirmed_flush_lsn - '0/0')::text AS "lsn" FROM pg_replication_slots WHERE slot_name = '${slot}'`,
  );
  return asLsn(BigInt(found?.lsn ?? -1));
}

test('I 2: however long it waits, the package confirms nothing by itself', async () => {
  const at = await withSlot();
  // Its clock and timer alone: sockets go on as they do.
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] });
  try {
    let received = 0;
    await using stream = await open(at, () => (received += 1));
    await sql(at.url, 'INSERT INTO t SELECT generate_series(1, 10)');
    await until(() => received === 13);
    await vi.advanceTimersByTimeAsync(3_600_000);
    // A reply of ours with the clock of an hour later: whatever was sent before it has been taken in then.
    stream.confirm(at.start, { ping: false });
    await until(async () => {
      const [found] = await rows<{ late: boolean | null }>(
        at.url,
        `SELECT reply_time > now() + interval '50 min' AS "late" FROM pg_stat_replication WHERE pid = ${stream.backendPid}`,
      );
      return found?.late === true;
    });
    expect(await confirmedOf(at)).toBe(at.start);
  } finally {
    vi.useRealTimers();
  }
});

test('I 7: where a message can’t be taken in, the stream ends, and nothing is confirmed', async () => {
  const at = await withSlot();
  let taken = 0;
  const stream = await open(at, () => {
    taken += 1;
    if (taken === 5) throw new RangeError('no room');
  });
  await sql(at.url, 'INSERT INTO t SELECT generate_series(1, 1000)');
  await sql(at.url, 'INSERT INTO t SELECT generate_series(1, 1000)');
  expect(await stream.ended).toMatchObject({ code: 'internal', message: 'no room' });
  expect(taken).toBe(5);
  expect(await confirmedOf(at)).toBe(at.start);
});

test('I 33: a COMMIT that the server answers with ROLLBACK is no success', async () => {
  const url = await newDatabase(server);
  await sql(url, 'CREATE TABLE t (id int)');
  await using connection = await session(url);
  await connection.execute('BEGIN; INSERT INTO t VALUES (1)');
  await expect(connection.query('SELECT 1 / 0')).rejects.toMatchObject({ code: 'source.error' });
  await expect(connection.commit()).rejects.toMatchObject({
    code: 'source.error',
    message: expect.stringContaining('rolled the transaction back') as unknown,
  });
  expect(await connection.query('SELECT id FROM t')).toEqual([]);
  await connection.execute('BEGIN; INSERT INTO t VALUES (2)');
  await connection.commit();
  expect(await connection.query('SELECT id FROM t')).toEqual([{ id: 2 }]);
});
