import { Failure } from '../model/failure.ts';
import type { Connection } from '../postgres/connection.ts';
import { answerInTime } from '../postgres/pulse.ts';
import { sqlFile } from '../postgres/sql-file.ts';

interface Waiter {
  readonly pid: number;
  readonly mode: string;
  readonly object: string;
  readonly waitedMs: number;
}

/**
 * The source comes first (P7): while a snapshot holds its locks, looks every second for sessions that wait
 * behind them, and calls `giveWay` once with `source.gave_way` when one has waited for `patienceMs`.
 * A wait behind ACCESS SHARE is a schema change or TRUNCATE, and everyone who comes later waits behind it.
 */
export function watchForWaiters(
  connection: Connection,
  options: {
    readonly patienceMs: number;
    readonly applicationName: string;
    readonly giveWay: (failure: Failure) => void;
    /** A dead watcher must not leave locks unwatched, and its silence is the first that tells of a dead network. */
    readonly failed: (error: unknown) => void;
  },
): { stop(): Promise<void> } {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();

  const look = async (): Promise<void> => {
    try {
      const waiter = await findWaiter(connection, options);
      if (stopped) return;
      if (waiter !== undefined) options.giveWay(gaveWay(waiter));
      else schedule();
    } catch (error) {
      if (!stopped) options.failed(error);
    }
  };
  const schedule = (): void => {
    timer = setTimeout(() => {
      running = look();
    }, 1000);
  };
  schedule();
  return {
    stop: async () => {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}

/**
 * Tells why pg_dump could not lock its tables: it queues behind whoever waits behind our locks, and gives up by its
 * own limit, in words that have no SQLSTATE. Who has waited for that long was there before it.
 */
export async function orGaveWay<T>(
  connection: Connection,
  options: { readonly lockTimeoutMs: number; readonly applicationName: string },
  dump: Promise<T>,
): Promise<T> {
  try {
    return await dump;
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'tool.failed') throw error;
    const waiter = await findWaiter(connection, { ...options, patienceMs: options.lockTimeoutMs });
    throw waiter === undefined ? error : gaveWay(waiter, error);
  }
}

async function findWaiter(
  connection: Connection,
  options: { readonly patienceMs: number; readonly applicationName: string },
): Promise<Waiter | undefined> {
  const { patienceMs, applicationName } = options;
  const question = connection.query<Waiter>(sqlFile('introspect/lock-waiters'), [
    patienceMs,
    applicationName,
  ]);
  const [waiter] = await answerInTime(connection, question);
  return waiter;
}

function gaveWay(waiter: Waiter, cause?: Failure): Failure {
  const seconds = Math.round(waiter.waitedMs / 1000);
  return new Failure(
    'source.gave_way',
    `gave way: process ${waiter.pid} waited ${seconds} s for ${waiter.mode} on ${waiter.object} behind this snapshot`,
    {
      facts: { pid: waiter.pid, mode: waiter.mode, object: waiter.object, waitedMs: waiter.waitedMs },
      cause,
    },
  );
}
