import { throwIfAborted } from '../model/failure.ts';
import { applyBatch } from './apply-batch.ts';
import { PendingChanges } from './pending-changes.ts';
import type { ReplayPosition, ReplayProgress } from './progress.ts';
import type { ReplayLimits } from './request.ts';
import type { RowChange } from './row-change.ts';
import type { ReplaySession } from './session.ts';
import type { TableBatch } from './table-runs.ts';
import type { TargetTable } from './target-table.ts';

/**
 * Writes to the target in transactions of its own: several of the source's in one, or a large one in several. Each
 * moves the progress in the same transaction, so there is no moment at which the two disagree.
 */
export class TargetWriter {
  readonly #session: ReplaySession;
  readonly #progress: ReplayProgress;
  readonly #limits: ReplayLimits;
  readonly #signal: AbortSignal;
  readonly #pending = new PendingChanges();
  #isOpen = false;

  constructor(
    session: ReplaySession,
    options: {
      readonly progress: ReplayProgress;
      readonly limits: ReplayLimits;
      readonly signal: AbortSignal;
    },
  ) {
    this.#session = session;
    this.#progress = options.progress;
    this.#limits = options.limits;
    this.#signal = options.signal;
  }

  get isFull(): boolean {
    return this.#pending.count >= this.#limits.changes || this.#pending.bytes >= this.#limits.bytes;
  }

  /** Undefined when there is nothing to wait for, as for nearly all: a promise for each row would cost more than the row. */
  add(change: RowChange, table: TargetTable, bytes: number): Promise<void> | undefined {
    const first = this.#pending.add(change, table, bytes);
    return first === undefined ? undefined : this.#after([first], change, { table, bytes });
  }

  /** Applies all that waits, in the open transaction, for something that must come behind it. */
  async barrier(): Promise<void> {
    await this.#apply(this.#pending.take());
    await this.#begin();
  }

  async execute(statement: string): Promise<void> {
    await this.barrier();
    await this.#session.connection.execute(statement);
  }

  /** Applies all that waits and commits it with the progress. */
  async commit(position: ReplayPosition): Promise<void> {
    throwIfAborted(this.#signal);
    await this.barrier();
    await this.#progress.commit(position);
    this.#isOpen = false;
    this.#pending.reset();
  }

  async rollback(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#session.connection.execute('ROLLBACK').catch(() => undefined);
  }

  async #after(
    batches: readonly TableBatch[],
    change: RowChange,
    of: { readonly table: TargetTable; readonly bytes: number },
  ): Promise<void> {
    await this.#apply(batches);
    const more = this.#pending.add(change, of.table, of.bytes);
    if (more !== undefined) throw new Error('a change fits no empty run');
  }

  async #apply(batches: readonly TableBatch[]): Promise<void> {
    if (batches.length > 0) await this.#begin();
    for (const batch of batches) {
      const keptOrder = await applyBatch(this.#session.connection, batch, this.#session.encoding);
      if (keptOrder) this.#pending.keepOrder(batch.table);
    }
  }

  /** Constraints that the source checked at commit are checked at commit here, where they are checked at all. */
  async #begin(): Promise<void> {
    if (this.#isOpen) return;
    this.#isOpen = true;
    await this.#session.connection.execute('BEGIN; SET CONSTRAINTS ALL DEFERRED');
  }
}
