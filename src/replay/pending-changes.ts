import type { RowChange } from './row-change.ts';
import { TableRuns } from './table-runs.ts';
import type { Run } from './table-runs.ts';
import type { TargetTable } from './target-table.ts';

/** Changes that wait, by table: tables don't wait for each other, since foreign keys rest (REPLICATION H3). */
export class PendingChanges {
  readonly #tables = new Map<string, TableRuns>();
  #count = 0;
  #bytes = 0;

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Runs that must be applied first, before the change is added again; undefined when it was added. */
  add(change: RowChange, table: TargetTable, bytes: number): Run[] | undefined {
    let runs = this.#tables.get(table.quoted);
    if (runs === undefined || runs.table !== table) {
      const before = runs?.take() ?? [];
      runs = new TableRuns(table);
      this.#tables.set(table.quoted, runs);
      if (before.length > 0) return before;
    }
    if (!runs.add(change)) return runs.take();
    this.#count += 1;
    this.#bytes += bytes;
    return undefined;
  }

  /** All of them, in an order that may be applied. */
  take(): Run[] {
    const taken = [...this.#tables.values()].flatMap((runs) => runs.take());
    this.#tables.clear();
    return taken;
  }

  /** To be called when the transaction that holds the changes so far has ended. */
  reset(): void {
    this.#count = 0;
    this.#bytes = 0;
  }
}
