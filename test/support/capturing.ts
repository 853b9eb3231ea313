import { isDeepStrictEqual } from 'node:util';
import type { StoreSettings } from '../../src/storage/open-store.ts';
import { namesOf } from './capture.ts';
import { rows, session } from './postgres.ts';
import { storedStreams } from './stored-stream.ts';
import type { StoredStream } from './stored-stream.ts';
import { start } from './tidemark.ts';
import { until } from './until.ts';

export interface Capturing {
  readonly running: ReturnType<typeof start>;
  /** What it has said so far, by --json. */
  readonly events: Record<string, unknown>[];
  /** Waits for the next event of a kind that was not there yet when this was called, or for the first one. */
  said(kind: string, times?: number): Promise<Record<string, unknown>>;
  stop(signal?: NodeJS.Signals): Promise<{ readonly exitCode: number | undefined; readonly stderr: string }>;
}

/** A clock for capture by which an hour passes at once, some seconds on: then a chapter is due of what was stored before. */
export const AN_HOUR_LATER = {
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(
    'const now = Date.now; const start = now(); Date.now = () => now() + (now() - start > 4000 ? 3600000 : 0);',
  )}`,
};

/** Starts `tidemark capture` as a user does. */
export function capture(
  url: string,
  repository: string,
  more: readonly string[] = [],
  env: Record<string, string> = {},
): Capturing {
  const args = ['capture', '--url', url, '--repository', repository, '--flush', '200ms', '--json', ...more];
  const running = start(args, { env });
  const events: Record<string, unknown>[] = [];
  let rest = '';
  running.stdout.on('data', (bytes: Buffer) => {
    const lines = (rest + bytes.toString('utf8')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines)
      if (line.startsWith('{"')) events.push(JSON.parse(line) as Record<string, unknown>);
  });
  const ended = running.then(({ exitCode, stderr }) => ({ exitCode, stderr }));
  let over = false;
  void ended.then(() => (over = true));
  return {
    running,
    events,
    said: async (kind, times = 1) => {
      const found = (): Record<string, unknown> | undefined =>
        events.filter((event) => event['kind'] === kind)[times - 1];
      await until(() => found() !== undefined || over);
      const event = found();
      if (event === undefined) throw new Error(`capture ended without ${kind}: ${(await ended).stderr}`);
      return event;
    },
    stop: (signal = 'SIGTERM') => {
      running.kill(signal);
      return ended;
    },
  };
}

/** A table in which every committed transaction leaves its id, once; ids of those that were rolled back are missing. */
export const LEDGER = `CREATE TABLE ledger (id bigserial PRIMARY KEY, worker int, note text)`;

/** Commits and rolls back, with savepoints, as fast as it can, until it is told to end. */
export function load(url: string, workers = 3): { end(): Promise<void> } {
  const stop = new AbortController();
  const work = async (worker: number): Promise<void> => {
    await using connection = await session(url);
    for (let round = 0; !stop.signal.aborted; round += 1) {
      const note = 'x'.repeat((round % 7) * 50);
      await connection.execute('BEGIN');
      await connection.query('INSERT INTO ledger (worker, note) VALUES ($1, $2)', [worker, note]);
      if (round % 3 === 0) {
        await connection.execute('SAVEPOINT s');
        await connection.query('INSERT INTO ledger (worker, note) SELECT $1, $2 FROM generate_series(1, 5)', [
          worker,
          note,
        ]);
        await connection.execute(round % 2 === 0 ? 'ROLLBACK TO s' : 'RELEASE s');
      }
      await connection.execute(round % 11 === 0 ? 'ROLLBACK' : 'COMMIT');
    }
  };
  const all = Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
  return {
    end: async () => {
      stop.abort();
      await all;
    },
  };
}

/** What the source itself says that was committed. */
export async function committed(url: string): Promise<string[]> {
  const found = await rows<{ id: string }>(url, 'SELECT id::text AS "id" FROM ledger ORDER BY ledger.id');
  return found.map((row) => row.id);
}

/** Ids in the stored streams, as often as they stand there. */
export async function captured(
  repository: StoreSettings,
): Promise<{ ids: string[]; streams: StoredStream[] }> {
  const streams = await storedStreams(repository);
  const ids = streams.flatMap((stream) =>
    stream.transactions.flatMap((transaction) => transaction.inserted['public.ledger'] ?? []),
  );
  return { ids: ids.sort((a, b) => Number(a) - Number(b)), streams };
}

/** Up to where everything must have been captured. */
export async function position(url: string): Promise<string> {
  const [row] = await rows<{ lsn: string }>(url, 'SELECT pg_current_wal_insert_lsn()::text AS "lsn"');
  return row?.lsn ?? '';
}

/** Where the slot stands; undefined when there is none. */
export async function confirmed(url: string, repository: string): Promise<bigint | undefined> {
  const { slot } = await namesOf(repository);
  const [row] = await rows<{ lsn: string }>(
    url,
    `SELECT (confirmed_flush_lsn - '0/0')::text AS "lsn" FROM pg_replication_slots WHERE slot_name = '${slot}'`,
  );
  return row === undefined ? undefined : BigInt(row.lsn);
}

/** Runs capture until all that is committed by now is stored; it ends by itself. */
export async function catchUp(url: string, repository: string): Promise<void> {
  const run = capture(url, repository, ['--until', await position(url)]);
  const { exitCode, stderr } = await run.running;
  if (exitCode !== 0) throw new Error(`capture did not catch up: ${stderr}`);
}

/** What must be true once capture has caught up: each commit once, no hole, nothing confirmed that is not stored. */
export const EXACT = { ids: true, pieces: [1], confirmed: true };

export async function exactness(
  url: string,
  path: string,
): Promise<{ ids: boolean; pieces: number[]; confirmed: boolean }> {
  const { ids, streams } = await captured({ url: path });
  const slot = (await confirmed(url, path)) ?? 0n;
  return {
    ids: isDeepStrictEqual(ids, await committed(url)),
    pieces: streams.map((stream) => stream.pieces),
    confirmed: slot <= (streams.at(-1)?.to ?? 0n),
  };
}
