import { Failure, throwIfAborted } from '../../model/failure.ts';
import type { Connection } from '../../postgres/connection.ts';

/** "tidemark" in ASCII: the advisory lock under which slot and publications of a database are made or dropped. */
const KEY = Buffer.from('tidemark').readBigInt64BE().toString();
const WAIT_MS = 10_000;

/** Takes the lock for as long as the session lasts. Fails with `source.lock_timeout`, naming who has it. */
export async function takeSetUpLock(session: Connection, signal: AbortSignal): Promise<void> {
  for (const started = performance.now(); ;) {
    throwIfAborted(signal);
    const [row] = await session.query<{ taken: boolean }>(
      'SELECT pg_try_advisory_lock($1::int8) AS "taken"',
      [KEY],
    );
    if (row?.taken === true) return;
    if (performance.now() - started > WAIT_MS) break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const [holder] = await session.query<{ pid: number }>(
    `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::int8 << 32) | objid::int8 = $1::int8`,
    [KEY],
  );
  throw new Failure(
    'source.lock_timeout',
    `another tidemark (pid ${holder?.pid ?? 'unknown'}) is making or dropping slot and publications`,
    { facts: { pid: holder?.pid } },
  );
}
