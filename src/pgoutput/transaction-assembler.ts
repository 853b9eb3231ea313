import type { CommitTime } from '../model/commit-time.ts';
import type { Failure } from '../model/failure.ts';
import { formatLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { decodeMessage } from './decode.ts';
import type { MessageOrigin } from './message-reader.ts';
import { wrongMessage } from './message-reader.ts';
import {
  BEGIN_BYTES,
  COMMIT_BYTES,
  LEAST_CHANGE_BYTES,
  TAG,
  TUPLE,
  beginLsn,
  beginTime,
  beginXid,
  commitEndLsn,
  commitLsn,
  firstOid,
  messageIsTransactional,
  messageLsn,
} from './peek.ts';
import { RelationsInForce } from './relations-in-force.ts';

/**
 * What a message was in its stream.
 * - `begin`, `change` (a row, of `relation`), `truncate` (of `truncated`), `definition` (Relation or Type), `other`
 *   (Origin, transactional message) and `commit`: of the open transaction, to be stored.
 * - `empty`: the commit of a transaction without contents, which PostgreSQL 14 sends for each one that touched
 *   nothing published. It advances the position; there is nothing to store.
 * - `outside`: a message that belongs to no transaction.
 * - `dropped`: of a transaction, or a message, that is stored already.
 */
export type Step =
  | 'begin'
  | 'change'
  | 'truncate'
  | 'definition'
  | 'other'
  | 'commit'
  | 'empty'
  | 'outside'
  | 'dropped';

/**
 * Follows one session's messages and asserts that they are what a session sends (REPLICATION G): anything else is
 * `source.protocol` (or `integrity.format`), and nothing may be stored after it. One instance for each session: a
 * transaction that was open when the connection went is sent again whole, as are all from the start position on.
 *
 * One call for each of some 10^5 messages a second: it makes no object; facts stand in fields until the next call.
 */
export class TransactionAssembler {
  readonly relations: RelationsInForce;
  /** Of the transaction that is open or was committed last. */
  xid = 0;
  commitLsn: Lsn;
  commitTime: CommitTime = 0n;
  /** Of the last commit, or where the session started: everything before it has been seen whole. */
  endLsn: Lsn;
  /** Of the last `change`: its relation and its tag. */
  relation = 0;
  tag = 0;
  /** Of the last `truncate`. */
  truncated: readonly number[] = [];

  readonly #origin: MessageOrigin;
  readonly #start: Lsn;
  #open = false;
  #dropping = false;
  #hasContents = false;
  /** Commits must come above it. */
  #lastCommit: Lsn | undefined;
  /** Spares a look into the map for runs of changes of one relation. */
  #knownRelation = -1;

  /** `start`: the tidemark; transactions that commit before it are stored already. */
  constructor(options: { readonly start: Lsn; readonly origin: MessageOrigin }) {
    this.#origin = options.origin;
    this.#start = options.start;
    this.relations = new RelationsInForce(options.origin);
    this.commitLsn = options.start;
    this.endLsn = options.start;
  }

  /** Between Begin and Commit. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** Takes the next message; reads it before it returns and keeps no view of it. */
  feed(message: Buffer): Step {
    const tag = message[0];
    if (tag === undefined) throw wrongMessage(this.#origin, 'is empty');
    this.tag = tag;
    switch (tag) {
      case TAG.insert:
      case TAG.update:
      case TAG.delete:
        return this.#change(message, tag);
      case TAG.begin:
        return this.#begin(message);
      case TAG.commit:
        return this.#commit(message);
      case TAG.relation:
      case TAG.type:
        return this.#definition(message);
      case TAG.truncate:
        return this.#truncate(message);
      case TAG.origin:
        this.#mustBeOpen();
        return this.#dropping ? 'dropped' : 'other';
      case TAG.message:
        return this.#logicalMessage(message);
      default:
        throw this.#wrong('is unknown to protocol 1');
    }
  }

  #begin(message: Buffer): Step {
    if (message.length !== BEGIN_BYTES) throw this.#wrong('has a wrong length');
    if (this.#open) throw this.#wrong('comes within a transaction');
    const lsn = beginLsn(message);
    if (this.#lastCommit !== undefined && lsn <= this.#lastCommit) {
      throw this.#wrong(`goes back from ${formatLsn(this.#lastCommit)} to ${formatLsn(lsn)}`);
    }
    this.#open = true;
    this.#hasContents = false;
    this.#dropping = lsn < this.#start;
    this.commitLsn = lsn;
    this.commitTime = beginTime(message);
    this.xid = beginXid(message);
    return this.#dropping ? 'dropped' : 'begin';
  }

  #commit(message: Buffer): Step {
    if (message.length !== COMMIT_BYTES) throw this.#wrong('has a wrong length');
    this.#mustBeOpen();
    if (message[1] !== 0) throw this.#wrong('has an unknown flag');
    const lsn = commitLsn(message);
    if (lsn !== this.commitLsn) throw this.#wrong('is of another transaction than its Begin');
    const end = commitEndLsn(message);
    if (end <= lsn) throw this.#wrong('ends before it starts');
    this.#open = false;
    this.#lastCommit = lsn;
    if (end > this.endLsn) this.endLsn = end;
    if (this.#dropping) return 'dropped';
    return this.#hasContents ? 'commit' : 'empty';
  }

  #change(message: Buffer, tag: number): Step {
    this.#mustBeOpen();
    if (message.length < LEAST_CHANGE_BYTES) throw this.#wrong('ends early');
    if (!isMark(tag, message[5])) throw this.#wrong('has no row where one must be');
    const oid = firstOid(message);
    if (oid !== this.#knownRelation) this.#mustBeKnown(oid);
    this.#knownRelation = oid;
    this.relation = oid;
    this.#hasContents = true;
    return this.#dropping ? 'dropped' : 'change';
  }

  #truncate(message: Buffer): Step {
    this.#mustBeOpen();
    const decoded = decodeMessage(message, this.#origin);
    this.truncated = decoded.kind === 'truncate' ? decoded.relations : [];
    for (const oid of this.truncated) this.#mustBeKnown(oid);
    this.#hasContents = true;
    return this.#dropping ? 'dropped' : 'truncate';
  }

  /** Of a dropped transaction too: the server does not send it again in this session. */
  #definition(message: Buffer): Step {
    this.#mustBeOpen();
    this.relations.learn(message);
    this.relation = firstOid(message);
    this.#hasContents = true;
    return this.#dropping ? 'dropped' : 'definition';
  }

  #logicalMessage(message: Buffer): Step {
    // Rare, and the only one of ours that capture looks into: it is checked whole.
    decodeMessage(message, this.#origin);
    if (messageIsTransactional(message)) {
      this.#mustBeOpen();
      this.#hasContents = true;
      return this.#dropping ? 'dropped' : 'other';
    }
    // It is decoded when its record is read, a transaction all at once when its commit is.
    if (this.#open) throw this.#wrong('is of no transaction, and comes within one');
    return messageLsn(message) < this.#start ? 'dropped' : 'outside';
  }

  #mustBeOpen(): void {
    if (!this.#open) throw this.#wrong('comes outside a transaction');
  }

  #mustBeKnown(oid: number): void {
    if (!this.relations.has(oid)) throw this.#wrong(`is of relation ${oid}, which was not described before`);
  }

  #wrong(what: string): Failure {
    return wrongMessage(this.#origin, what, this.tag);
  }
}

function isMark(tag: number, mark: number | undefined): boolean {
  switch (tag) {
    case TAG.insert:
      return mark === TUPLE.new;
    case TAG.update:
      return mark === TUPLE.new || mark === TUPLE.key || mark === TUPLE.old;
    default:
      return mark === TUPLE.key || mark === TUPLE.old;
  }
}
