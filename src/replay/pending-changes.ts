import type { RowChange } from './row-change.ts';
import { TableRuns } from './table-runs.ts';
import type { TableBatch } from './table-runs.ts';
import type { TargetTable } from './target-table.ts';

/** Changes that wait, by table: tables don't wait for each other, since foreign keys rest (REPLICATION H3). */
export class PendingChanges {
  readonly #tables = new Map<string, TableRuns>();
  readonly #inOrder = new Set<string>();
  #count = 0;
  #bytes = 0;

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What must be applied first, before the change is added again; undefined when it was added. */
  add(change: RowChange, table: TargetTable, bytes: number): TableBatch | undefined {
    let runs = this.#tables.get(table.quoted);
    if (runs === undefined || runs.table !== table) {
      const before = runs?.take();
      runs = new TableRuns(table, { mayReorder: table.mayReorder && !this.#inOrder.has(table.quoted) });
      this.#tables.set(table.quoted, runs);
      if (before !== undefined) return before;
    }
    if (!runs.add(change)) return runs.take();
    this.#count += 1;
    this.#bytes += bytes;
    return undefined;
  }

  /** All of them. */
  take(): TableBatch[] {
    const taken = [...this.#tables.values()].flatMap((runs) => runs.take() ?? []);
    this.#tables.clear();
    return taken;
  }

  /** Once those that wait are taken, the changes of a table are made in the source's order: they collided in another. */
  keepOrder(table: TargetTable): void {
    this.#inOrder.add(table.quoted);
  }

  /** To be called where the transaction ends that holds the changes so far. */
  reset(): void {
    this.#count = 0;
    this.#bytes = 0;
  }
}
