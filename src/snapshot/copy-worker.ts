import { Failure } from '../model/failure.ts';
import { quoteRelation } from '../model/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import { failpoint } from '../runtime/failpoints.ts';
import type { ArchiveOutput } from './archive-output.ts';
import { copyRange, partBuffers } from './copy-range.ts';
import type { CopiedRange, CopyHow } from './copy-range.ts';
import type { PlannedRange } from './plan.ts';

/** The keeper's connection, used by one at a time for tables that a worker could not lock. */
interface KeeperTurn {
  <T>(use: (connection: Connection) => Promise<T>): Promise<T>;
}

export interface WorkerOptions {
  readonly connection: Connection;
  readonly output: ArchiveOutput;
  readonly keeper: KeeperTurn;
  readonly how: CopyHow;
  readonly signal: AbortSignal;
  /** The next range to copy, undefined when there are none left. */
  readonly next: () => PlannedRange | undefined;
  readonly onBytes: (bytes: number) => void;
  readonly onRange: (range: PlannedRange, copied: CopiedRange) => void;
}

/**
 * Copies ranges until there are none. The connection has the exported snapshot imported. Each range runs
 * behind a savepoint that is rolled back afterwards, so that a worker holds the locks of one table only;
 * the keeper holds them all.
 */
export async function copyRanges(options: WorkerOptions): Promise<void> {
  const { connection, output, how } = options;
  const buffers = partBuffers();
  await connection.execute('SAVEPOINT range');
  for (let range = options.next(); range !== undefined; range = options.next()) {
    const job = { range, how, buffers, onBytes: options.onBytes };
    const copied = (await lockAtOnce(connection, range))
      ? await copyRange(connection, output, job)
      : await options.keeper((keeper) => copyRange(keeper, output, job));
    await failpoint('snapshot.range-copied');
    await connection.execute('ROLLBACK TO SAVEPOINT range');
    options.onRange(range, copied);
  }
}

/**
 * False when someone waits for the table: a worker that queued behind them, who wait for the keeper, would
 * be a deadlock that Postgres can't see (REPLICATION C4).
 */
async function lockAtOnce(connection: Connection, range: PlannedRange): Promise<boolean> {
  try {
    await connection.execute(
      `LOCK TABLE ONLY ${quoteRelation(range.table.relation)} IN ACCESS SHARE MODE NOWAIT`,
    );
    await failpoint('snapshot.range-locked');
    return true;
  } catch (error) {
    if (!(error instanceof Failure) || error.facts['sqlstate'] !== '55P03') throw error;
    await connection.execute('ROLLBACK TO SAVEPOINT range');
    return false;
  }
}
