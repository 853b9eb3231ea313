import type { StoredRecord } from '../archive/record.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import type { Lsn } from '../model/lsn.ts';
import { formatLsn } from '../model/lsn.ts';
import { decodeMessage } from '../pgoutput/decode.ts';
import { wrongMessage } from '../pgoutput/message-reader.ts';
import { TAG, beginLsn, beginTime, beginXid, commitEndLsn, commitLsn, firstOid } from '../pgoutput/peek.ts';
import { RelationsInForce } from '../pgoutput/relations-in-force.ts';

/** A transaction of the source, by what its Begin says. */
export interface SourceTransaction {
  /** Top-level, 32 bits. */
  readonly xid: number;
  readonly commitLsn: Lsn;
  readonly commitTime: CommitTime;
}

/**
 * What a record was: `change` (a row, of `relation`), `truncate` and `message` (transactional) belong to the open
 * transaction; `nothing` has no effect by itself, or is of a transaction that was seen before.
 */
export type Step = 'begin' | 'change' | 'truncate' | 'message' | 'commit' | 'nothing';

/**
 * Follows stored records in the order of a stream and keeps the definitions in force. Transactions whose commit is
 * not above the last one seen are dropped: two writers may have stored them both (FORMAT.md, "Segments"). Makes no
 * object for a row and keeps no view of a record. Fails with `integrity.format` on what no writer stores.
 */
export class TransactionCursor {
  readonly relations = new RelationsInForce('storage');
  /** The one that is open, or was last. */
  transaction: SourceTransaction | undefined;
  /** Behind the last commit. */
  endLsn: Lsn | undefined;
  /** Of the last `change`. */
  relation = 0;
  #open = false;
  #dropping = false;

  feed({ inForce, message }: StoredRecord): Step {
    const tag = message[0] ?? 0;
    switch (tag) {
      case TAG.insert:
      case TAG.update:
      case TAG.delete:
        this.#mustBeOpen(tag);
        this.relation = firstOid(message);
        return this.#dropping ? 'nothing' : 'change';
      case TAG.relation:
      case TAG.type:
        if (!inForce) this.#mustBeOpen(tag);
        this.relations.learn(message);
        return 'nothing';
      case TAG.begin:
        return this.#begin(message);
      case TAG.commit:
        return this.#commit(message);
      case TAG.truncate:
        this.#mustBeOpen(tag);
        return this.#dropping ? 'nothing' : 'truncate';
      case TAG.message:
        this.#mustBeOpen(tag);
        return this.#dropping ? 'nothing' : 'message';
      case TAG.origin:
        return 'nothing';
      default:
        throw wrongMessage('storage', 'is unknown to protocol 1', tag);
    }
  }

  /** To be called when the input has ended: a transaction without its commit is damage. */
  end(): void {
    if (this.#open) throw new Failure('integrity.format', 'the changes end within a transaction');
  }

  #begin(message: Buffer): Step {
    if (this.#open) throw wrongMessage('storage', 'comes within a transaction', TAG.begin);
    decodeMessage(message, 'storage');
    const lsn = beginLsn(message);
    this.#open = true;
    this.#dropping = this.transaction !== undefined && lsn <= this.transaction.commitLsn;
    if (this.#dropping) return 'nothing';
    this.transaction = { xid: beginXid(message), commitLsn: lsn, commitTime: beginTime(message) };
    return 'begin';
  }

  #commit(message: Buffer): Step {
    this.#mustBeOpen(TAG.commit);
    decodeMessage(message, 'storage');
    this.#open = false;
    if (this.#dropping) return 'nothing';
    const lsn = commitLsn(message);
    if (lsn !== this.transaction?.commitLsn)
      throw wrongMessage('storage', `at ${formatLsn(lsn)} is of another transaction`, TAG.commit);
    this.endLsn = commitEndLsn(message);
    return 'commit';
  }

  #mustBeOpen(tag: number): void {
    if (!this.#open) throw wrongMessage('storage', 'comes outside a transaction', tag);
  }
}
