import type { Lsn } from './lsn.ts';

const EPOCH = 0x1_0000_0000n;
const HALF = 0x8000_0000n;

/** What `pg_current_snapshot()` says: which transactions were over when it was taken. 64-bit xids. */
export interface TransactionSnapshot {
  readonly xmin: bigint;
  /** The first xid that was not assigned yet. */
  readonly xmax: bigint;
  /** Top-level transactions between the two that were under way. */
  readonly running: ReadonlySet<bigint>;
}

/** How the contents of a snapshot are told apart from what is to be replayed after it (REPLICATION C3). */
export type ReplayTie =
  | {
      readonly kind: 'xid';
      readonly snapshot: TransactionSnapshot;
      /** WAL insert position read with the snapshot: no visible transaction's commit record lies at or after it. */
      readonly upper: Lsn;
      /** Every commit record before it is of a visible transaction. */
      readonly scanFrom: Lsn;
    }
  | {
      readonly kind: 'position';
      /** Exactly the commits before it are contained. */
      readonly lsn: Lsn;
    };

/** Reads `xmin:xmax:xip,…` (pg_snapshot_in) with its own rules; undefined when it is no snapshot. */
export function parseSnapshot(text: string): TransactionSnapshot | undefined {
  const match = /^(\d{1,20}):(\d{1,20}):((?:\d{1,20}(?:,\d{1,20})*)?)$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  const xmin = BigInt(match[1]);
  const xmax = BigInt(match[2]);
  const running = match[3] === undefined || match[3] === '' ? [] : match[3].split(',').map(BigInt);
  if (xmin === 0n || xmin > xmax || xmax >> 64n !== 0n) return undefined;
  if (running.some((xid, index) => xid < xmin || xid >= xmax || xid < (running[index - 1] ?? 0n)))
    return undefined;
  return { xmin, xmax, running: new Set(running) };
}

/**
 * The 64-bit xid whose low 32 bits are given: the one within 2^31 of `around`. Live xids never lie further apart
 * than that, since wraparound would make them ambiguous to the server itself.
 */
export function widenXid(xid32: number, around: bigint): bigint {
  let xid = around - (around % EPOCH) + BigInt(xid32);
  if (xid - around >= HALF) xid -= EPOCH;
  else if (around - xid > HALF) xid += EPOCH;
  // Before the first epoch there was none.
  return xid < 0n ? xid + EPOCH : xid;
}

/** What `pg_visible_in_snapshot` says of a transaction that has committed by now. */
function isVisible(xid: bigint, snapshot: TransactionSnapshot): boolean {
  if (xid < snapshot.xmin) return true;
  return xid < snapshot.xmax && !snapshot.running.has(xid);
}

/**
 * Whether a streamed transaction is to be applied onto the snapshot that the tie belongs to. Exact: each one is
 * either contained or applied. `xid` is Begin's, top-level and 32 bits; a streamed transaction is committed, so
 * "not running in the snapshot" means "contained". Comparing positions alone is wrong in nearly every snapshot,
 * since a commit record precedes the transaction's visibility (REPLICATION C1.5).
 */
export function applies(
  transaction: { readonly xid: number; readonly commitLsn: Lsn },
  tie: ReplayTie,
): boolean {
  if (tie.kind === 'position') return transaction.commitLsn >= tie.lsn;
  if (transaction.commitLsn < tie.scanFrom) return false;
  if (transaction.commitLsn >= tie.upper) return true;
  return !isVisible(widenXid(transaction.xid, tie.snapshot.xmax), tie.snapshot);
}
