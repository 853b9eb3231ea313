import { throwIfAborted } from '../model/failure.ts';
import type { Connection } from '../postgres/connection.ts';

/** Something that one connection does. */
export interface Task {
  /** False until other tasks of the same call have ended. Absent: it needs none. */
  readonly isReady?: () => boolean;
  readonly run: (connection: Connection) => Promise<void>;
}

/**
 * Shares tasks out among connections: each takes the first that is ready. After a failure no new ones are
 * begun, and it is thrown when those under way have ended.
 */
export async function shareOut(
  connections: readonly Connection[],
  tasks: readonly Task[],
  signal: AbortSignal,
): Promise<void> {
  const waiting = [...tasks];
  let running = 0;
  let failed = false;
  let changed = Promise.withResolvers<void>();
  const work = async (connection: Connection): Promise<void> => {
    while (waiting.length > 0 && !failed) {
      throwIfAborted(signal);
      const next = waiting.findIndex((task) => task.isReady?.() !== false);
      if (next === -1) {
        if (running === 0) throw new Error('tasks wait for each other');
        await changed.promise;
        continue;
      }
      const [task] = waiting.splice(next, 1);
      running += 1;
      try {
        await task?.run(connection);
      } catch (error) {
        failed = true;
        throw error;
      } finally {
        running -= 1;
        changed.resolve();
        changed = Promise.withResolvers();
      }
    }
  };
  const workers = connections.map((connection) => work(connection));
  await Promise.allSettled(workers);
  await Promise.all(workers);
}
