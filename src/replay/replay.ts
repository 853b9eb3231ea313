import { Failure } from '../model/failure.ts';
import { displayRelation, quoteRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import { asLsn, formatLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { applies } from '../model/xid.ts';
import { decodeMessage } from '../pgoutput/decode.ts';
import { BoundTables } from './bound-tables.ts';
import type { Bound } from './bound-tables.ts';
import { KeptRows } from './kept-rows.ts';
import { ReplayProgress } from './progress.ts';
import type { DefinitionEvent, ReplayLimits, ReplayReport, ReplayRequest } from './request.ts';
import { rowChange } from './row-change.ts';
import type { ReplaySession } from './session.ts';
import { MARK_PREFIX, isMetAtEnd, stopsAfter, stopsBefore } from './stop.ts';
import type { TargetTable } from './target-table.ts';
import { TargetWriter } from './target-writer.ts';
import { TransactionCursor } from './transaction-cursor.ts';
import type { SourceTransaction } from './transaction-cursor.ts';

const DDL_PREFIX = 'tidemark:ddl';

/** A transaction on the target costs some round trips and a flush; rows of it wait in memory. */
const LIMITS: ReplayLimits = { changes: 20_000, bytes: 16 * 1024 * 1024 };

/**
 * Applies captured changes to a target that holds a restored snapshot, in commit order up to the target asked for,
 * and just once, whenever it is killed and run again. What it does not: sequences, foreign-key checks, materialised
 * views. Fails with `recovery.no_point` when the input does not show that the target was met (P5: there is no
 * falling back), `target.drift` and `target.row_count` where target and changes do not fit.
 */
export async function replay(session: ReplaySession, request: ReplayRequest): Promise<ReplayReport> {
  await using progress = await ReplayProgress.open(session.connection, request.id);
  const running = new Replay(session, request, progress);
  try {
    return await running.run();
  } catch (error) {
    await running.rollback();
    throw error;
  }
}

class Replay {
  readonly #request: ReplayRequest;
  readonly #session: ReplaySession;
  readonly #progress: ReplayProgress;
  readonly #cursor = new TransactionCursor();
  readonly #tables: BoundTables;
  readonly #writer: TargetWriter;
  readonly #kept = new KeptRows();
  /** Rows, truncates and messages of the open transaction so far, and how many of them an earlier run has done. */
  #place = 0;
  #done = 0;
  #messages = 0;
  #marks: string[] = [];
  #isWanted = false;
  #definitionsChanged = false;
  #met = false;
  #changes = 0;
  #reported = 0;
  #lastApplied: SourceTransaction | undefined;
  #lastChanged: SourceTransaction | undefined;
  #firstNotApplied: SourceTransaction | undefined;

  constructor(session: ReplaySession, request: ReplayRequest, progress: ReplayProgress) {
    this.#request = request;
    this.#session = session;
    this.#progress = progress;
    this.#tables = new BoundTables(this.#cursor.relations, session, request);
    const limits = { ...LIMITS, ...request.limits };
    this.#writer = new TargetWriter(session, { progress, limits, signal: request.signal });
  }

  async run(): Promise<ReplayReport> {
    const { position } = this.#progress;
    const continued = position.commitLsn > 0n;
    for await (const records of this.#request.records) {
      if (await this.#feed(records)) break;
    }
    if (this.#firstNotApplied === undefined) this.#cursor.end();
    this.#assertMet();
    await this.#commit({ whole: true });
    await this.#writer.settled();
    return {
      lastApplied: this.#lastApplied,
      lastChanged: this.#lastChanged,
      firstNotApplied: this.#firstNotApplied,
      changes: this.#changes,
      changesInAll: this.#progress.position.applied,
      continued,
    };
  }

  async rollback(): Promise<void> {
    await this.#writer.rollback();
  }

  /** True when the replay ends here. No promise is made for a row that only joins those that wait. */
  async #feed(records: Iterable<{ readonly inForce: boolean; readonly message: Buffer }>): Promise<boolean> {
    for (const record of records) {
      switch (this.#cursor.feed(record)) {
        case 'begin':
          if (this.#begins()) return true;
          break;
        case 'change': {
          const waiting = this.#change(record.message);
          if (waiting !== undefined) await waiting;
          break;
        }
        case 'truncate':
          await this.#truncate(record.message);
          break;
        case 'message':
          await this.#message(record.message);
          break;
        case 'commit':
          await this.#committed();
          break;
        case 'nothing':
          break;
      }
    }
    return false;
  }

  get #transaction(): SourceTransaction {
    if (this.#cursor.transaction === undefined) throw new Error('no transaction is open');
    return this.#cursor.transaction;
  }

  #begins(): boolean {
    const transaction = this.#transaction;
    const { position } = this.#progress;
    if (this.#met || stopsBefore(this.#request.stop, transaction)) {
      this.#firstNotApplied = transaction;
      if (position.commitLsn >= transaction.commitLsn) throw beyond(transaction);
      return true;
    }
    this.#place = 0;
    this.#messages = 0;
    this.#marks = [];
    const isDone =
      transaction.commitLsn < position.commitLsn ||
      (transaction.commitLsn === position.commitLsn && position.whole);
    this.#isWanted = !isDone && this.#request.only?.(transaction) !== false;
    this.#done = transaction.commitLsn === position.commitLsn ? position.changes : 0;
    return false;
  }

  #change(message: Buffer): Promise<void> | undefined {
    this.#place += 1;
    if (!this.#isWanted || this.#place <= this.#done) return undefined;
    const bound = this.#tables.get(this.#cursor.relation, this.#transaction);
    if (bound === undefined) return undefined;
    if (bound.table === undefined) return this.#lookAndAdd(bound, message);
    return this.#add(message, bound.table);
  }

  async #lookAndAdd(bound: Bound, message: Buffer): Promise<void> {
    await this.#add(message, await this.#look(bound));
  }

  #add(message: Buffer, table: TargetTable): Promise<void> | undefined {
    const { bytes, place } = this.#kept.keep(message);
    const change = rowChange(decodeMessage(bytes, 'storage', place), table);
    if (change === undefined) throw new Error('no change of a row');
    this.#changes += 1;
    const waiting = this.#writer.add(change, table, message.length);
    if (!this.#writer.isFull) return waiting;
    return this.#commitWithin(waiting);
  }

  /** A transaction of the source that is larger than one on the target. */
  async #commitWithin(waiting: Promise<void> | undefined): Promise<void> {
    await waiting;
    await this.#commit({ whole: false });
  }

  async #look(bound: Bound): Promise<TargetTable> {
    const { relation } = bound.inForce;
    await this.#writer.settled();
    let findings = await this.#tables.look(bound);
    if (findings.length > 0 && this.#request.definitions !== undefined) {
      const called = await this.#definitions({
        kind: 'drift',
        inForce: bound.inForce,
        findings,
        transaction: this.#transaction,
      });
      findings = await this.#tables.look(bound, called);
    }
    if (bound.table !== undefined) return bound.table;
    const name = displayRelation(relation);
    const { xid, commitLsn } = this.#transaction;
    throw new Failure('target.drift', `${name} ${findings.join('; ')}`, {
      facts: { table: name, findings, xid, commitLsn: formatLsn(commitLsn) },
    });
  }

  /** The name on the target of a table that has drifted, where it is another one. */
  async #definitions(event: DefinitionEvent): Promise<RelationName | undefined> {
    if (this.#request.definitions === undefined) return undefined;
    const before = this.#request.beforeDefinitions?.(event);
    if (before !== undefined) {
      // Without what the event came with.
      await this.#commit({ whole: false, changes: this.#place - 1 });
      await this.#writer.settled();
      await before();
    }
    await this.#writer.barrier();
    const { connection, mayBeReplica } = this.#session;
    const called = await this.#request.definitions(event, connection);
    // Names of types are printed, and read back, under this one; a transaction of ours may hold more changes.
    await connection.execute("SET LOCAL search_path = ''");
    if (mayBeReplica) await connection.execute("SET LOCAL session_replication_role = 'replica'");
    this.#tables.forget();
    this.#definitionsChanged = true;
    return called;
  }

  /** All at once and without CASCADE, as PostgreSQL's own apply: what it cascaded to is listed. */
  async #truncate(message: Buffer): Promise<void> {
    this.#place += 1;
    if (!this.#isWanted || this.#place <= this.#done) return;
    const decoded = decodeMessage(message, 'storage');
    if (decoded.kind !== 'truncate') return;
    const names: string[] = [];
    for (const oid of decoded.relations) {
      const bound = this.#tables.get(oid, this.#transaction);
      if (bound === undefined) continue;
      const table = bound.table ?? (await this.#look(bound));
      names.push(`${table.isPartitioned ? '' : 'ONLY '}${quoteRelation(table.relation)}`);
    }
    if (names.length === 0) return;
    const identity = decoded.restartIdentity ? ' RESTART IDENTITY' : '';
    await this.#writer.execute(`TRUNCATE ${names.join(', ')}${identity}`);
    this.#changes += 1;
  }

  async #message(message: Buffer): Promise<void> {
    this.#place += 1;
    this.#messages += 1;
    const decoded = decodeMessage(message, 'storage');
    if (decoded.kind !== 'message' || !decoded.transactional) return;
    this.#request.onMessage?.(decoded, this.#transaction);
    if (decoded.prefix === MARK_PREFIX) this.#marks.push(decoded.content.toString('utf8'));
    if (decoded.prefix !== DDL_PREFIX || !this.#isWanted || this.#place <= this.#done) return;
    if (!applies(this.#transaction, this.#request.tie)) return;
    await this.#definitions({
      kind: 'message',
      content: Buffer.from(decoded.content),
      transaction: this.#transaction,
    });
  }

  async #committed(): Promise<void> {
    const transaction = this.#transaction;
    this.#lastApplied = transaction;
    if (this.#place > this.#messages) this.#lastChanged = transaction;
    this.#met = stopsAfter(this.#request.stop, transaction, this.#marks);
    // A new label of an enum can be used when it has committed, as on the source.
    if (this.#writer.isFull || this.#definitionsChanged) await this.#commit({ whole: true });
    this.#definitionsChanged = false;
  }

  async #commit({
    whole,
    changes = whole ? 0 : this.#place,
  }: {
    readonly whole: boolean;
    readonly changes?: number;
  }): Promise<void> {
    const transaction = whole ? this.#lastApplied : this.#transaction;
    if (transaction === undefined) return;
    const { position } = this.#progress;
    if (transaction.commitLsn < position.commitLsn) return;
    const made = this.#changes - this.#reported;
    this.#reported = this.#changes;
    await this.#writer.commit(
      {
        commitLsn: transaction.commitLsn,
        changes,
        whole,
        applied: position.applied + made,
      },
      () => this.#request.onProgress?.({ transaction, changes: made }),
    );
  }

  /** A snapshot holds a prefix of history only from `upper` on (REPLICATION C3), and the input must reach the target. */
  #assertMet(): void {
    const { stop, reach, tie } = this.#request;
    const isMet = this.#met || this.#firstNotApplied !== undefined || isMetAtEnd(stop, reach);
    if (!isMet) throw noPoint('the changes end before the point that was asked for', reach.position);
    const end = this.#firstNotApplied?.commitLsn ?? reach.position;
    const earliest = tie.kind === 'xid' ? tie.upper : tie.lsn;
    if (end < earliest) throw noPoint('the point lies before the snapshot was taken', end);
  }
}

function noPoint(message: string, position: Lsn): Failure {
  return new Failure('recovery.no_point', message, { facts: { position: formatLsn(asLsn(position)) } });
}

function beyond(transaction: SourceTransaction): Failure {
  return new Failure('target.half_done', 'an earlier run has replayed beyond this point', {
    facts: { commitLsn: formatLsn(transaction.commitLsn) },
    remedy: 'restore into another database, or from the start with --clean',
  });
}
