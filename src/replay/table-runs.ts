import type { RowChange } from './row-change.ts';
import { rowKeys } from './row-change.ts';
import type { TargetTable } from './target-table.ts';

/** Changes of one table that one statement makes: one shape, and no row twice. */
export interface Run {
  readonly table: TargetTable;
  readonly shape: string;
  readonly changes: RowChange[];
}

/**
 * The changes of one table that wait, as runs in an order that ends where the source's own order does. A table's
 * order is kept, with one freedom: where nothing but the key keeps rows apart, changes of different rows may pass
 * each other, so a mixed load still makes long runs (REPLICATION H3).
 */
export class TableRuns {
  readonly table: TargetTable;
  #runs: Run[] = [];
  #keys = new Set<string>();

  constructor(table: TargetTable) {
    this.table = table;
  }

  /** False: what waits must be taken first, then it can be added. */
  add(change: RowChange): boolean {
    const open = this.#openRun(change);
    if (open === undefined && this.#runs.length > 0 && !this.table.mayReorder) return false;
    if (this.#tracksKeys(change)) {
      const keys = rowKeys(change, this.table);
      if (keys.some((key) => this.#keys.has(key))) return false;
      for (const key of keys) this.#keys.add(key);
    }
    if (open === undefined) this.#runs.push({ table: this.table, shape: change.shape, changes: [change] });
    else open.changes.push(change);
    return true;
  }

  take(): Run[] {
    const taken = this.#runs;
    if (taken.length > 0) {
      this.#runs = [];
      this.#keys = new Set();
    }
    return taken;
  }

  #openRun(change: RowChange): Run | undefined {
    if (this.table.mayReorder) return this.#runs.find((run) => run.shape === change.shape);
    const last = this.#runs.at(-1);
    return last?.shape === change.shape ? last : undefined;
  }

  /** In order, a run of inserts or of deletes can't meet one row twice; of a row without a key, alike ones are alike. */
  #tracksKeys(change: RowChange): boolean {
    return this.table.mayReorder || change.kind === 'update';
  }
}
