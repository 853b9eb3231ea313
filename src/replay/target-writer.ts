import { throwIfAborted } from '../model/failure.ts';
import { applyBatch } from './apply-batch.ts';
import { PendingChanges } from './pending-changes.ts';
import type { ReplayPosition, ReplayProgress } from './progress.ts';
import type { ReplayLimits } from './request.ts';
import type { RowChange } from './row-change.ts';
import type { ReplaySession } from './session.ts';
import type { TableBatch } from './table-runs.ts';
import type { TargetTable } from './target-table.ts';

/** Between two looks at what the server has answered meanwhile. */
const CHANGES_A_TURN = 256;

/**
 * Writes to the target in transactions of its own: several of the source's in one, or a large one in several. Each
 * moves the progress in the same transaction, so there is no moment at which the two disagree. While one transaction is
 * under way, the changes of the next are gathered. What fails there fails the next call that waits for it.
 */
export class TargetWriter {
  readonly #session: ReplaySession;
  readonly #progress: ReplayProgress;
  readonly #limits: ReplayLimits;
  readonly #signal: AbortSignal;
  readonly #pending = new PendingChanges();
  /** All that was called for so far, one after the other: nothing else may use the connection before it has ended. */
  #work: Promise<void> = Promise.resolve();
  #underWay = 0;
  #sinceTurn = 0;
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
    if (first !== undefined) {
      this.#then(() => this.#apply([first]));
      if (this.#pending.add(change, table, bytes) !== undefined)
        throw new Error('a change fits no empty run');
    }
    if (this.#underWay === 0 || (this.#sinceTurn += 1) < CHANGES_A_TURN) return undefined;
    this.#sinceTurn = 0;
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** Applies all that waits, in the open transaction, for something that must come behind it. */
  async barrier(): Promise<void> {
    this.#applyPending();
    await this.settled();
  }

  async execute(statement: string): Promise<void> {
    await this.barrier();
    await this.#session.connection.execute(statement);
  }

  /** Applies all that waits and commits it with the progress. Does not wait for that, but for the commit before. */
  async commit(position: ReplayPosition, onCommitted: () => void): Promise<void> {
    await this.settled();
    throwIfAborted(this.#signal);
    this.#applyPending();
    this.#pending.reset();
    const commit = this.#progress.move(position);
    this.#then(async () => {
      await commit();
      this.#isOpen = false;
      onCommitted();
    });
  }

  /** Waits for all that is under way. */
  async settled(): Promise<void> {
    await this.#work;
  }

  async rollback(): Promise<void> {
    await this.#work.catch(() => undefined);
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#session.connection.execute('ROLLBACK').catch(() => undefined);
  }

  #applyPending(): void {
    const batches = this.#pending.take();
    this.#then(async () => {
      await this.#apply(batches);
      await this.#begin();
    });
  }

  #then(work: () => Promise<void>): void {
    this.#underWay += 1;
    this.#work = this.#work.then(work).finally(() => (this.#underWay -= 1));
    // Whoever waits next is told.
    this.#work.catch(() => undefined);
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
