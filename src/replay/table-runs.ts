import { fold } from './fold.ts';
import type { RowChange } from './row-change.ts';
import { rowKeys } from './row-change.ts';
import type { TargetTable } from './target-table.ts';

/** Changes of one table that one statement makes: one shape, and no row twice. */
export interface Run {
  readonly table: TargetTable;
  readonly shape: string;
  readonly changes: RowChange[];
}

/** Changes of one table that are due, as runs in the order in which they must be made. */
export interface TableBatch {
  readonly table: TargetTable;
  readonly runs: readonly Run[];
  /** The runs are not what the source did one after the other: changes passed each other, or were folded. */
  readonly isReordered: boolean;
  /** As the source made them, where another order may collide. */
  readonly inOrder: readonly RowChange[];
}

interface Waiting {
  change: RowChange;
  readonly layer: number;
  readonly keepsKey: boolean;
}

/** What gives up a unique value goes before what may take it. */
const PLACE: Readonly<Record<RowChange['kind'], number>> = { delete: 0, update: 1, insert: 2 };

/** A row that comes and goes more often makes the others wait: each layer costs a statement or more. */
const MOST_LAYERS = 32;

/**
 * The changes of one table that wait. Its order is kept, with freedom where `mayReorder`: changes of different rows may
 * pass each other, so that a mixed load still makes long runs (REPLICATION H3), and those of one row are folded. What
 * can't be folded stands in the next layer: layers are made one after the other, and no row is twice in one.
 */
export class TableRuns {
  readonly table: TargetTable;
  readonly #mayReorder: boolean;
  #runs: Run[] = [];
  #layers: Waiting[][] = [];
  /** By key, what was done last to the row that has it. */
  #latest = new Map<string, Waiting>();
  #isFolded = false;
  #inOrder: RowChange[] = [];
  #keys = new Set<string>();

  constructor(table: TargetTable, options: { readonly mayReorder: boolean }) {
    this.table = table;
    this.#mayReorder = options.mayReorder;
  }

  /** False: what waits must be taken first, then it can be added. */
  add(change: RowChange): boolean {
    return this.#mayReorder ? this.#addToLayer(change) : this.#addInOrder(change);
  }

  take(): TableBatch | undefined {
    const runs = this.#mayReorder ? this.#layers.flatMap((layer) => this.#runsOf(layer)) : this.#runs;
    if (runs.length === 0) return undefined;
    const isReordered = this.#mayReorder && (runs.length > 1 || this.#isFolded);
    const taken = { table: this.table, runs, isReordered, inOrder: this.#inOrder };
    this.#runs = [];
    this.#layers = [];
    this.#latest = new Map();
    this.#isFolded = false;
    this.#inOrder = [];
    this.#keys = new Set();
    return taken;
  }

  #addToLayer(change: RowChange): boolean {
    const [key = '', newKey] = rowKeys(change, this.table);
    const before = this.#latest.get(key);
    const keepsKey = newKey === undefined;
    const folded = before?.keepsKey === true && keepsKey ? fold(before.change, change) : undefined;
    if (before !== undefined && folded !== undefined) {
      before.change = folded;
      this.#isFolded = true;
    } else {
      const other = keepsKey ? undefined : this.#latest.get(newKey);
      const layer = 1 + Math.max(before?.layer ?? -1, other?.layer ?? -1);
      if (layer === MOST_LAYERS) return false;
      const waiting = { change, layer, keepsKey };
      (this.#layers[layer] ??= []).push(waiting);
      this.#latest.set(key, waiting);
      if (!keepsKey) this.#latest.set(newKey, waiting);
    }
    if (this.table.mayCollide) this.#inOrder.push(change);
    return true;
  }

  #runsOf(layer: readonly Waiting[]): Run[] {
    const runs = new Map<string, Run>();
    for (const { change } of layer) {
      const { shape } = change;
      const run = runs.get(shape);
      if (run === undefined) runs.set(shape, { table: this.table, shape, changes: [change] });
      else run.changes.push(change);
    }
    return [...runs.values()].sort((a, b) => placeOf(a) - placeOf(b));
  }

  #addInOrder(change: RowChange): boolean {
    const last = this.#runs.at(-1);
    if (last !== undefined && last.shape !== change.shape) return false;
    // A run of inserts or of deletes can't meet one row twice; of a row without a key, alike ones are alike.
    if (change.kind === 'update') {
      const keys = rowKeys(change, this.table);
      if (keys.some((key) => this.#keys.has(key))) return false;
      for (const key of keys) this.#keys.add(key);
    }
    if (last === undefined) this.#runs.push({ table: this.table, shape: change.shape, changes: [change] });
    else last.changes.push(change);
    return true;
  }
}

function placeOf(run: Run): number {
  return PLACE[run.changes[0]?.kind ?? 'insert'];
}
