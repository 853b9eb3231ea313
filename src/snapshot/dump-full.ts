import { quoteRelation } from '../model/identifiers.ts';
import { importSnapshot } from './keeper.ts';
import type { CopiedTables } from './copy-tables.ts';
import type { CopiedRange } from './copy-range.ts';
import type { Prepared } from './prepared.ts';
import type { SnapshotRequest } from './request.ts';

/**
 * Engine pg_dump stores no ranges; what a restore must reproduce is counted beside it, on the same snapshot.
 * `select count(*)` per table, largest first, on `plan.jobs` connections.
 */
export async function countTables(request: SnapshotRequest, prepared: Prepared): Promise<CopiedTables> {
  const { plan } = prepared;
  const largestFirst = [...plan.tables].sort((a, b) => Number(b.size.totalBytes - a.size.totalBytes));
  const queue = largestFirst.values();
  const tables = new Map<number, CopiedRange>();
  let doneBytes = 0;
  const worker = async (): Promise<void> => {
    await using connection = await prepared.sessions.open();
    await importSnapshot(connection, prepared.snapshot);
    for (const table of queue) {
      const [row] = await connection.query<{ rows: string }>(
        `SELECT count(*)::text AS "rows" FROM ONLY ${quoteRelation(table.relation)} ${table.relation.condition ?? ''}`,
      );
      tables.set(table.number, { rows: BigInt(row?.rows ?? 0), copyBytes: 0n, storedBytes: 0n });
      doneBytes += Number(table.size.totalBytes);
      const rows = [...tables.values()].reduce((sum, counted) => sum + counted.rows, 0n);
      request.onEvent({
        kind: 'progress',
        doneBytes,
        totalBytes: Number(plan.totalBytes),
        copyBytes: 0,
        rows,
      });
    }
  };
  const workers = Array.from({ length: plan.jobs }, worker);
  for (const one of workers) one.catch((error: unknown) => prepared.failed(error));
  await Promise.allSettled(workers);
  await Promise.all(workers);
  return { archives: [], tables };
}
