import { setTimeout as delay } from 'node:timers/promises';
import type { Connection } from '../../src/postgres/connection.ts';
import { session } from '../support/postgres.ts';
import { runOrRollBack } from '../support/replay.ts';
import { randomness, transaction } from '../support/workload.ts';

type Random = ReturnType<typeof randomness>;

/** Beside the tables of every kind: one in which each transaction leaves its id, and one for large transactions. */
export const MORE_TABLES = `CREATE TABLE ledger (id bigserial PRIMARY KEY, worker int, note text);
CREATE TABLE large (id int PRIMARY KEY, v text)`;

export interface Load {
  /** Ends all sessions; nothing stays prepared. */
  end(): Promise<void>;
}

/** Random transactions of every kind from several sessions: savepoints, rollbacks, two phases, some slow. */
export function startLoad(
  url: string,
  options: { readonly seed: number; readonly sessions: number; readonly large: boolean },
): Load {
  let isOver = false;
  const workers = Array.from({ length: options.sessions }, (_, worker) =>
    work(url, { random: randomness(options.seed * 1000 + worker), worker, isOver: () => isOver }),
  );
  if (options.large) workers.push(largeOnes(url, () => isOver));
  return {
    end: async () => {
      isOver = true;
      await Promise.all(workers);
    },
  };
}

/** One session's transaction, with its line in the ledger. */
export function ledgerTransaction(random: Random, worker: number): string[] {
  const [begin, ...rest] = transaction(random);
  return [begin ?? 'BEGIN', `INSERT INTO ledger (worker) VALUES (${worker})`, ...rest];
}

async function work(
  url: string,
  options: { readonly random: Random; readonly worker: number; readonly isOver: () => boolean },
): Promise<void> {
  const { random, worker, isOver } = options;
  await using connection = await session(url);
  // Deadlocks with what is prepared are for nobody to find.
  await connection.execute(
    `SET lock_timeout = '500ms'; SET synchronous_commit = ${random.pick(['on', 'off'])}`,
  );
  const prepared: { readonly name: string; readonly until: number }[] = [];
  for (let count = 0; !isOver(); count += 1) {
    const statements = ledgerTransaction(random, worker);
    const name = `'torture_${worker}_${count}'`;
    const inTwoPhases = statements.at(-1) === 'COMMIT' && random.int(8) === 0;
    if (inTwoPhases) statements.splice(-1, 1, `PREPARE TRANSACTION ${name}`);
    else if (random.int(15) === 0) statements.splice(-1, 0, `SELECT pg_sleep(0.${1 + random.int(5)})`);
    const isDone = await runOrRollBack(connection, statements);
    if (isDone && inTwoPhases) prepared.push({ name, until: Date.now() + random.int(800) });
    while ((prepared[0]?.until ?? Infinity) < Date.now())
      await finish(connection, prepared.shift()?.name, random);
    await delay(random.int(10));
  }
  for (const { name } of prepared) await finish(connection, name, random);
}

async function finish(connection: Connection, name: string | undefined, random: Random): Promise<void> {
  await connection.execute(`${random.int(6) === 0 ? 'ROLLBACK' : 'COMMIT'} PREPARED ${name}`);
}

/** Larger than a segment: stored in parts while they are open. */
async function largeOnes(url: string, isOver: () => boolean): Promise<void> {
  await using connection = await session(url);
  while (!isOver()) {
    await connection.execute(
      `BEGIN; INSERT INTO ledger (worker) VALUES (-1);
       INSERT INTO large SELECT g, string_agg(md5(g::text || i::text), '') FROM generate_series(1, 12000) g, generate_series(1, 100) i GROUP BY g;
       UPDATE large SET v = 'short' WHERE id % 2 = 0; COMMIT`,
    );
    await connection.execute('TRUNCATE large');
    for (let left = 24; left > 0 && !isOver(); left -= 1) await delay(500);
  }
}
