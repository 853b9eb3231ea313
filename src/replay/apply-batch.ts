import type { Connection } from '../postgres/connection.ts';
import { applyRun, isCollision } from './apply-run.ts';
import { TableRuns } from './table-runs.ts';
import type { TableBatch } from './table-runs.ts';

/**
 * Makes a table's changes in the open transaction. Out of the source's order they end alike, but may collide on the
 * way, in a unique index that is not the key's; then all of them are made again in that order. True when it had to
 * be: such a table collides again, so its order is better kept from the start.
 */
export async function applyBatch(
  connection: Connection,
  { table, runs, isReordered, inOrder }: TableBatch,
  encoding: string,
): Promise<boolean> {
  if (!isReordered || !table.mayCollide) {
    for (const run of runs) await applyRun(connection, run, { encoding, mayFail: false });
    return false;
  }
  await connection.execute('SAVEPOINT batch');
  try {
    for (const run of runs) await applyRun(connection, run, { encoding, mayFail: true });
    await connection.execute('RELEASE SAVEPOINT batch');
    return false;
  } catch (error) {
    if (!isCollision(error)) throw error;
    await connection.execute('ROLLBACK TO SAVEPOINT batch; RELEASE SAVEPOINT batch');
  }
  const again = new TableRuns(table, { mayReorder: false });
  const apply = async (): Promise<void> => {
    for (const run of again.take()?.runs ?? []) await applyRun(connection, run, { encoding, mayFail: false });
  };
  for (const change of inOrder) {
    if (again.add(change)) continue;
    await apply();
    again.add(change);
  }
  await apply();
  return true;
}
