import type { CommitTime } from '../model/commit-time.ts';
import type { Lsn } from '../model/lsn.ts';
import type { SourceTransaction } from './transaction-cursor.ts';

/**
 * Where a replay ends, in commit order (REPLICATION D). Commit times need not rise with the commits, so a time ends
 * it before the *first* commit that is later: what is applied is always a prefix of history (P5).
 * - time: up to it, as recovery_target_time; exclusive: commits at that very time are left out too.
 * - lsn: commit records that start up to it; exclusive: before it.
 * - xid: with that transaction; exclusive: without it, and all behind it.
 * - mark: with the transaction that has it.
 */
export type StopTarget =
  | { readonly kind: 'latest' }
  | { readonly kind: 'time'; readonly time: CommitTime; readonly exclusive: boolean }
  | { readonly kind: 'lsn'; readonly lsn: Lsn; readonly exclusive: boolean }
  | { readonly kind: 'xid'; readonly xid: bigint; readonly exclusive: boolean }
  | { readonly kind: 'mark'; readonly name: string };

/** How far the input is known to be whole: what a replay that met no later commit goes by. */
export interface InputReach {
  /** Every commit record before it was in the input. */
  readonly position: Lsn;
  /** The stream's latest commit time, rows or none: the source's clock had come so far. */
  readonly time: CommitTime | undefined;
}

export const MARK_PREFIX = 'tidemark:mark';

/** Whether the replay ends in front of this transaction. */
export function stopsBefore(target: StopTarget, transaction: SourceTransaction): boolean {
  switch (target.kind) {
    case 'time':
      return target.exclusive ? transaction.commitTime >= target.time : transaction.commitTime > target.time;
    case 'lsn':
      return target.exclusive ? transaction.commitLsn >= target.lsn : transaction.commitLsn > target.lsn;
    case 'xid':
      return target.exclusive && isXid(target.xid, transaction);
    case 'latest':
    case 'mark':
      return false;
  }
}

/** Whether it ends behind this transaction, whose marks are given. */
export function stopsAfter(
  target: StopTarget,
  transaction: SourceTransaction,
  marks: readonly string[],
): boolean {
  if (target.kind === 'mark') return marks.includes(target.name);
  return target.kind === 'xid' && !target.exclusive && isXid(target.xid, transaction);
}

/** Whether input that ended without a stop shows all the same that the target was met: nothing more can belong to it. */
export function isMetAtEnd(target: StopTarget, reach: InputReach): boolean {
  switch (target.kind) {
    case 'latest':
      return true;
    case 'time':
      if (reach.time === undefined) return false;
      return target.exclusive ? reach.time >= target.time : reach.time > target.time;
    case 'lsn':
      return target.exclusive ? reach.position >= target.lsn : reach.position > target.lsn;
    case 'xid':
    case 'mark':
      return false;
  }
}

/** A stream never spans 2^32 transactions between what is kept, so 32 bits tell them apart. */
function isXid(xid: bigint, transaction: SourceTransaction): boolean {
  return BigInt.asUintN(32, xid) === BigInt(transaction.xid);
}
