import type { CommitTime } from '../model/commit-time.ts';
import type { Lsn } from '../model/lsn.ts';
import { RecordBuffer } from './record-buffer.ts';
import type { CutMember } from './record-buffer.ts';
import { RelationUse } from './relation-use.ts';
import type { DescribedRelation, TableTotals } from './relation-use.ts';
import { TransactionColumns } from './transaction-columns.ts';

/** What a run is made of; members may still be in the making. */
export interface TakenRun {
  readonly from: Lsn;
  readonly to: Lsn;
  readonly minCommitTime: CommitTime | undefined;
  readonly maxCommitTime: CommitTime | undefined;
  /** Since the stream began, this run included. */
  readonly latestCommitTime: CommitTime | undefined;
  readonly tables: readonly TableTotals[];
  readonly messages: number;
  readonly plainBytes: number;
  readonly inForce: readonly Buffer[];
  readonly members: readonly CutMember[];
  readonly columns: TransactionColumns;
}

/** A piece of a transaction that is too large for one run's memory. */
export interface TakenPart {
  readonly plainBytes: number;
  readonly inForce: readonly Buffer[];
  readonly members: readonly CutMember[];
}

interface WriterOptions {
  /** The tidemark at which this writer's first run begins. */
  readonly from: Lsn;
  /** Latest commit time of the stream so far. */
  readonly latestCommitTime?: CommitTime | undefined;
  readonly inForce: { get(oid: number): DescribedRelation | undefined };
  /** A member is cut when it would pass this: some MiB. */
  readonly memberBytes: number;
  readonly encode: (plain: Buffer) => Promise<Buffer>;
}

const INSERT = 0x49;
const UPDATE = 0x55;
const MESSAGE = 0x4d;
const RELATION = 0x52;
const TRUNCATES = 3;

/**
 * Collects one session's transactions for storage, run after run. Everything is synchronous, so that it can be fed
 * from a socket's handler; a run (all that has committed) or a part (what an open transaction has so far) is taken
 * at any moment and packed while more arrives. Copies every message that it is given. A new session needs a new one.
 *
 * The caller assembles transactions and asserts their order; a misuse is a TypeError.
 */
export class RunWriter {
  readonly #buffer: RecordBuffer;
  #use: RelationUse;
  #columns: TransactionColumns;
  #from: Lsn;
  #to: Lsn;
  #min: CommitTime | undefined;
  #max: CommitTime | undefined;
  #latest: CommitTime | undefined;
  #open: { readonly xid: number; readonly commitLsn: Lsn; readonly commitTime: CommitTime } | undefined;
  /** Plaintext of the run that was taken as parts. */
  #partBytes = 0;
  #openMessages = 0;
  #messages = 0;

  constructor(options: WriterOptions) {
    this.#buffer = new RecordBuffer(options);
    this.#use = new RelationUse(options.inForce);
    this.#columns = new TransactionColumns(options.from);
    this.#from = options.from;
    this.#to = options.from;
    this.#latest = options.latestCommitTime;
  }

  /** Plaintext that `takeRun` would take. */
  get wholeBytes(): number {
    return this.#buffer.wholeBytes;
  }

  /** Plaintext that `takePart` would take. */
  get openBytes(): number {
    return this.#buffer.openBytes;
  }

  /** Where `takeRun` would end. */
  get end(): Lsn {
    return this.#to;
  }

  get transactions(): number {
    return this.#columns.count;
  }

  begin(
    message: Buffer,
    facts: { readonly xid: number; readonly commitLsn: Lsn; readonly commitTime: CommitTime },
  ): void {
    if (this.#open !== undefined) throw new TypeError('a transaction is open');
    this.#open = { xid: facts.xid, commitLsn: facts.commitLsn, commitTime: facts.commitTime };
    this.#openMessages = 0;
    this.#buffer.begin();
    this.#buffer.append(message);
  }

  /** Insert, Update or Delete. */
  change(message: Buffer, oid: number): void {
    const tag = message[0];
    this.#use.count(oid, tag === INSERT ? 0 : tag === UPDATE ? 1 : 2);
    this.#buffer.append(message);
  }

  truncate(message: Buffer, oids: readonly number[]): void {
    for (const oid of oids) this.#use.count(oid, TRUNCATES);
    this.#buffer.append(message);
  }

  /** A Relation or Type message, which is in force already. */
  describe(message: Buffer, oid: number): void {
    if (message[0] === RELATION) this.#use.describe(oid);
    else this.#use.describeType(oid);
    this.#buffer.append(message);
  }

  /** Origin, transactional message. What belongs to no transaction is nothing that a restore brings back. */
  add(message: Buffer): void {
    if (message[0] === MESSAGE) this.#openMessages += 1;
    this.#buffer.append(message);
  }

  commit(message: Buffer, endLsn: Lsn): void {
    const open = this.#mustBeOpen();
    this.#buffer.append(message);
    const entries = this.#use.commit((table, kind, rows) => this.#columns.addRows(table, kind, rows));
    const bytes = this.#buffer.openBytes + (this.#columns.count === 0 ? this.#partBytes : 0);
    this.#buffer.commit();
    this.#columns.add({ ...open, endLsn, bytes, messages: this.#openMessages, entries });
    this.#messages += this.#openMessages;
    this.#to = endLsn;
    this.#min = lesser(this.#min, open.commitTime);
    this.#max = greater(this.#max, open.commitTime);
    this.#latest = greater(this.#latest, open.commitTime);
    this.#open = undefined;
  }

  /** A transaction without contents: nothing is stored of it, and the run reaches behind it. */
  commitEmpty(endLsn: Lsn): void {
    this.#mustBeOpen();
    this.#buffer.rewind();
    this.#to = endLsn;
    this.#open = undefined;
  }

  /**
   * All that has committed since the last run; perhaps only transactions without contents. The open one moves into
   * the next run. `to` advances an idle stream beyond its last commit: only when nothing is open.
   */
  takeRun(to: Lsn = this.#to): TakenRun {
    const isPossible = to > this.#from && to >= this.#to && (to === this.#to || this.#open === undefined);
    if (!isPossible) throw new TypeError('no run ends there');
    if (this.#partBytes > 0 && this.#columns.count === 0)
      throw new TypeError('the open transaction has parts in this run');
    const use = this.#use;
    const next = use.moveOpen();
    const plainBytes = this.#partBytes + this.#buffer.wholeBytes;
    const taken: TakenRun = {
      from: this.#from,
      to,
      minCommitTime: this.#min,
      maxCommitTime: this.#max,
      latestCommitTime: this.#latest,
      tables: use.tables,
      messages: this.#messages,
      plainBytes,
      inForce: use.takePreamble(),
      members: this.#buffer.takeWhole(),
      columns: this.#columns,
    };
    this.#use = next;
    this.#columns = new TransactionColumns(to);
    this.#from = to;
    this.#to = to;
    this.#min = undefined;
    this.#max = undefined;
    this.#partBytes = 0;
    this.#messages = 0;
    return taken;
  }

  /** What the open transaction has so far, out of memory. Only when no whole transaction waits before it. */
  takePart(): TakenPart {
    if (this.#columns.count > 0) throw new TypeError('whole transactions come first');
    const plainBytes = this.#buffer.openBytes;
    const members = this.#buffer.takeOpen();
    this.#partBytes += plainBytes;
    return { plainBytes, inForce: this.#use.takePreamble(), members };
  }

  #mustBeOpen(): { readonly xid: number; readonly commitLsn: Lsn; readonly commitTime: CommitTime } {
    if (this.#open === undefined) throw new TypeError('no transaction is open');
    return this.#open;
  }
}

function lesser(one: CommitTime | undefined, other: CommitTime): CommitTime {
  return one !== undefined && one < other ? one : other;
}

function greater(one: CommitTime | undefined, other: CommitTime): CommitTime {
  return one !== undefined && one > other ? one : other;
}
