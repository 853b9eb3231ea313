import type { Opener } from '../archive/age.ts';
import { lsnOf } from '../archive/run-document.ts';
import type { RunDocument } from '../archive/run-document.ts';
import { transactionsOf } from '../archive/segment-reader.ts';
import type { RunFacts } from '../archive/stream-documents.ts';
import type { ROW_KINDS } from '../archive/transaction-columns.ts';
import type { TransactionEntry } from '../archive/transaction-columns.ts';
import { readRunHeads } from '../catalog/segment-facts.ts';
import type { KnownSegment } from '../catalog/stream-runs.ts';
import { assertLinked } from '../catalog/stream-view.ts';
import type { StreamView } from '../catalog/stream-view.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { throwIfAborted } from '../model/failure.ts';
import type { Lsn } from '../model/lsn.ts';

export type RowKind = (typeof ROW_KINDS)[number];

/** What one transaction did to one table. */
export interface TableChanges {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly rows: Readonly<Record<RowKind, number>>;
}

export interface LoggedTransaction {
  /** Top-level, 32 bits, as Begin has it. */
  readonly xid: number;
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
  readonly commitTime: CommitTime;
  /** Logical messages. */
  readonly messages: number;
  /** Of its records, before compression. */
  readonly bytes: number;
  readonly tables: readonly TableChanges[];
}

/** Which transactions: all conditions hold. Times are a filter, no cut: commit times go back. */
export interface LogRange {
  readonly fromLsn?: Lsn | undefined;
  /** Commits before it. */
  readonly toLsn?: Lsn | undefined;
  readonly fromTime?: CommitTime | undefined;
  /** Included. */
  readonly toTime?: CommitTime | undefined;
}

interface LogOptions extends LogRange {
  readonly opener: Opener | undefined;
  readonly signal: AbortSignal;
}

/**
 * The transactions of a stream in commit order, from the columns of its segments: their changes are not read.
 * Chapters tell which runs can't have any in the range. What two writers both stored comes once. Fails with
 * `integrity.*`, or `key.missing` when they are encrypted.
 */
export async function* readLog(view: StreamView, options: LogOptions): AsyncGenerator<LoggedTransaction> {
  let before: KnownSegment | undefined;
  let seen: Lsn | undefined;
  for (const entry of view.pieces.flat()) {
    throwIfAborted(options.signal);
    if (isOutside(entry, options)) continue;
    for (const segment of await view.segmentsOf(entry)) {
      if (before?.to === segment.from) assertLinked(before, segment, view.id);
      before = segment;
      if (segment.runs.every((run) => isOutside(run, options) || isAnotherTime(run.times, options))) continue;
      for await (const transaction of readSegmentLog(view, segment, options)) {
        if (seen !== undefined && transaction.commitLsn <= seen) continue;
        seen = transaction.commitLsn;
        if (isIn(transaction, options)) yield transaction;
      }
    }
  }
}

/** The transactions of one segment. */
async function* readSegmentLog(
  view: StreamView,
  segment: KnownSegment,
  options: LogOptions,
): AsyncGenerator<LoggedTransaction> {
  const how = { stream: view.id, signal: options.signal };
  for await (const head of readRunHeads(view.repository, segment, how)) {
    const { run } = head;
    if (run.facts.transactions === 0 || isOutside(stretchOf(run), options)) continue;
    const member = await head.firstMember();
    const entries =
      member === undefined ? undefined : await transactionsOf(member, run.facts, options.opener);
    for (const transaction of entries ?? []) yield logged(transaction, run.facts);
  }
}

function logged(transaction: TransactionEntry, facts: RunFacts): LoggedTransaction {
  const tables = new Map<number, TableChanges & { rows: Record<RowKind, number> }>();
  for (const { table, kind, rows } of transaction.rows) {
    const described = facts.tables[table];
    if (described === undefined) continue;
    const { oid, schema, name } = described;
    const none = { inserts: 0, updates: 0, deletes: 0, truncates: 0 };
    const changes = tables.get(table) ?? { oid, schema, name, rows: none };
    changes.rows[kind] += rows;
    tables.set(table, changes);
  }
  const { xid, commitLsn, endLsn, commitTime, messages, bytes } = transaction;
  return { xid, commitLsn, endLsn, commitTime, messages, bytes, tables: [...tables.values()] };
}

function stretchOf({ facts }: RunDocument): { readonly from: Lsn; readonly to: Lsn } {
  return { from: lsnOf(facts.from), to: lsnOf(facts.to) };
}

function isOutside(stretch: { readonly from: Lsn; readonly to: Lsn }, range: LogRange): boolean {
  return stretch.to <= (range.fromLsn ?? 0n) || stretch.from >= (range.toLsn ?? stretch.to);
}

function isAnotherTime(
  times: { readonly min: CommitTime; readonly max: CommitTime } | undefined,
  range: LogRange,
): boolean {
  if (times === undefined) return true;
  return times.max < (range.fromTime ?? times.max) || times.min > (range.toTime ?? times.min);
}

function isIn({ commitLsn, commitTime }: LoggedTransaction, range: LogRange): boolean {
  return (
    commitLsn >= (range.fromLsn ?? commitLsn) &&
    commitLsn < (range.toLsn ?? commitLsn + 1n) &&
    commitTime >= (range.fromTime ?? commitTime) &&
    commitTime <= (range.toTime ?? commitTime)
  );
}
