import { ROW_KINDS } from '../archive/transaction-columns.ts';
import type { CommitTime } from '../model/commit-time.ts';
import type { LoggedTransaction, RowKind, TableChanges } from './read-log.ts';

export interface LogFilter {
  /** Which tables count; absent: all, and transactions without any. */
  readonly table?: ((table: { readonly schema: string; readonly name: string }) => boolean) | undefined;
  /** Which kinds of rows count; absent: all. */
  readonly kinds?: readonly RowKind[] | undefined;
}

/** A transaction with what a filter leaves of it; undefined when that is nothing. */
export function filtered(transaction: LoggedTransaction, filter: LogFilter): LoggedTransaction | undefined {
  const { table, kinds } = filter;
  if (table === undefined && kinds === undefined) return transaction;
  const tables = transaction.tables
    .filter((one) => table === undefined || table(one))
    .map((one) => ({ ...one, rows: ofKinds(one.rows, kinds ?? ROW_KINDS) }))
    .filter(({ rows }) => ROW_KINDS.some((kind) => rows[kind] > 0));
  return tables.length === 0 ? undefined : { ...transaction, tables };
}

export interface TableSummary extends TableChanges {
  readonly transactions: number;
  readonly first: CommitTime;
  readonly last: CommitTime;
}

/** Adds transactions up, table by table. */
export class LogSummary {
  transactions = 0;
  readonly #tables = new Map<string, TableSummary>();

  add(transaction: LoggedTransaction): void {
    this.transactions += 1;
    for (const changes of transaction.tables) {
      const key = `${changes.oid} ${changes.schema}.${changes.name}`;
      this.#tables.set(key, joined(this.#tables.get(key), changes, transaction.commitTime));
    }
  }

  /** The most changed first. */
  get tables(): TableSummary[] {
    const rows = (table: TableSummary): number => ROW_KINDS.reduce((sum, kind) => sum + table.rows[kind], 0);
    return [...this.#tables.values()].sort((a, b) => rows(b) - rows(a));
  }
}

function joined(before: TableSummary | undefined, changes: TableChanges, time: CommitTime): TableSummary {
  if (before === undefined) return { ...changes, transactions: 1, first: time, last: time };
  return {
    ...before,
    transactions: before.transactions + 1,
    rows: byKind((kind) => before.rows[kind] + changes.rows[kind]),
    first: time < before.first ? time : before.first,
    last: time > before.last ? time : before.last,
  };
}

function ofKinds(rows: TableChanges['rows'], kinds: readonly RowKind[]): TableChanges['rows'] {
  return byKind((kind) => (kinds.includes(kind) ? rows[kind] : 0));
}

function byKind(count: (kind: RowKind) => number): TableChanges['rows'] {
  return {
    inserts: count('inserts'),
    updates: count('updates'),
    deletes: count('deletes'),
    truncates: count('truncates'),
  };
}
