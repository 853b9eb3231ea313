import type { RowChange } from './row-change.ts';
import { rowKeys } from './row-change.ts';
import type { TargetTable } from './target-table.ts';

/** Changes of one table that one statement makes: one shape, and no row twice. */
export interface Run {
  readonly table: TargetTable;
  readonly shape: string;
  readonly changes: RowChange[];
}

/** Changes of one table that are due, as runs that end where the source's order does, and in that order themselves. */
export interface TableBatch {
  readonly table: TargetTable;
  readonly runs: readonly Run[];
  readonly inOrder: readonly RowChange[];
}

/**
 * The changes of one table that wait. Its order is kept, with one freedom where `mayReorder`: changes of different
 * rows may pass each other, so that a mixed load still makes long runs (REPLICATION H3).
 */
export class TableRuns {
  readonly table: TargetTable;
  readonly #mayReorder: boolean;
  #runs: Run[] = [];
  #inOrder: RowChange[] = [];
  #keys = new Set<string>();

  constructor(table: TargetTable, options: { readonly mayReorder: boolean }) {
    this.table = table;
    this.#mayReorder = options.mayReorder;
  }

  /** False: what waits must be taken first, then it can be added. */
  add(change: RowChange): boolean {
    const open = this.#openRun(change);
    if (open === undefined && this.#runs.length > 0 && !this.#mayReorder) return false;
    if (this.#tracksKeys(change)) {
      const keys = rowKeys(change, this.table);
      if (keys.some((key) => this.#keys.has(key))) return false;
      for (const key of keys) this.#keys.add(key);
    }
    if (open === undefined) this.#runs.push({ table: this.table, shape: change.shape, changes: [change] });
    else open.changes.push(change);
    if (this.#mayReorder) this.#inOrder.push(change);
    return true;
  }

  take(): TableBatch | undefined {
    if (this.#runs.length === 0) return undefined;
    const taken = { table: this.table, runs: this.#runs, inOrder: this.#inOrder };
    this.#runs = [];
    this.#inOrder = [];
    this.#keys = new Set();
    return taken;
  }

  #openRun(change: RowChange): Run | undefined {
    if (this.#mayReorder) return this.#runs.find((run) => run.shape === change.shape);
    const last = this.#runs.at(-1);
    return last?.shape === change.shape ? last : undefined;
  }

  /** In order, a run of inserts or of deletes can't meet one row twice; of a row without a key, alike ones are alike. */
  #tracksKeys(change: RowChange): boolean {
    return this.#mayReorder || change.kind === 'update';
  }
}
