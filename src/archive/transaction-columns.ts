import type { CommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import { asLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { VarintReader, VarintWriter } from './varints.ts';

/** The order of kinds in `transactions` and in the totals of a run. */
export const ROW_KINDS = ['inserts', 'updates', 'deletes', 'truncates'] as const;

interface TableRows {
  /** Position in the run's `tables`. */
  readonly table: number;
  readonly kind: (typeof ROW_KINDS)[number];
  readonly rows: number;
}

/** What is known of a transaction without reading its changes. */
export interface TransactionEntry {
  /** Top-level, 32 bits. */
  readonly xid: number;
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
  readonly commitTime: CommitTime;
  /** Of its Begin in the run's records: plaintext of all members in order, without messages in force. */
  readonly offset: number;
  readonly bytes: number;
  /** Logical messages. */
  readonly messages: number;
  readonly rows: readonly TableRows[];
}

const COLUMNS = [
  'xid',
  'commit',
  'end',
  'time',
  'bytes',
  'messages',
  'entries',
  'tableKinds',
  'rows',
] as const;

/** Positions are multiples of eight nearly always (MAXALIGN of WAL records): then an eighth is stored. Others below 2^63. */
const ALIGNMENT = 8n;

/**
 * The transactions of a run, a column for each fact, each value as the difference from the transaction before: zstd
 * then finds next to nothing to store for what is regular. FORMAT.md, "Transactions".
 */
export class TransactionColumns {
  readonly #columns = new Map(COLUMNS.map((name) => [name, new VarintWriter()]));
  readonly #xid = this.#column('xid');
  readonly #commit = this.#column('commit');
  readonly #end = this.#column('end');
  readonly #time = this.#column('time');
  readonly #bytes = this.#column('bytes');
  readonly #messages = this.#column('messages');
  readonly #entries = this.#column('entries');
  readonly #tableKinds = this.#column('tableKinds');
  readonly #rows = this.#column('rows');
  #before: Pick<TransactionEntry, 'xid' | 'commitLsn' | 'commitTime'>;
  #count = 0;

  constructor(from: Lsn) {
    this.#before = { xid: 0, commitLsn: from, commitTime: 0n };
  }

  get count(): number {
    return this.#count;
  }

  /** `rows` of one transaction come before `add`: there may be none. */
  addRows(table: number, kind: number, rows: number): void {
    this.#tableKinds.unsigned(table * ROW_KINDS.length + kind);
    this.#rows.unsigned(rows);
  }

  add(transaction: Omit<TransactionEntry, 'rows' | 'offset'> & { readonly entries: number }): void {
    const before = this.#before;
    this.#xid.signed64(BigInt(transaction.xid - before.xid));
    this.#commit.unsigned64(packDistance(transaction.commitLsn - before.commitLsn));
    this.#end.unsigned64(packDistance(transaction.endLsn - transaction.commitLsn));
    // Wraps around, as the reader does: two clocks can be further apart than 64 bits reach.
    this.#time.signed64(BigInt.asIntN(64, transaction.commitTime - before.commitTime));
    this.#bytes.unsigned(transaction.bytes);
    this.#messages.unsigned(transaction.messages);
    this.#entries.unsigned(transaction.entries);
    this.#before = transaction;
    this.#count += 1;
  }

  /** Columns in order, each after its length (uint32). */
  encode(): Buffer {
    return Buffer.concat(
      COLUMNS.flatMap((name) => {
        const bytes = this.#column(name).bytes();
        const length = Buffer.alloc(4);
        length.writeUInt32BE(bytes.length);
        return [length, bytes];
      }),
    );
  }

  #column(name: (typeof COLUMNS)[number]): VarintWriter {
    const column = this.#columns.get(name);
    if (column === undefined) throw new TypeError('no such column');
    return column;
  }
}

/** What the run says, which its columns must fit. */
export interface RunBounds {
  readonly from: Lsn;
  readonly to: Lsn;
  readonly transactions: number;
  readonly tables: number;
  /** Plaintext of its records. */
  readonly plainBytes: number;
}

/**
 * Undoes `encode`, one transaction at a time. Fails with `integrity.format` when anything does not fit the run:
 * positions beyond it or not increasing, offsets beyond its records, tables that it does not have.
 */
export function* readTransactions(plain: Buffer, run: RunBounds): Generator<TransactionEntry> {
  const columns = splitColumns(plain);
  const [xids, commits, ends, times, bytes, messages, entries] = columns;
  let before = { xid: 0n, commitLsn: run.from as bigint, commitTime: 0n, offset: 0 };
  let isFirst = true;
  for (let left = run.transactions; left > 0; left -= 1) {
    const xid = before.xid + xids.signed64();
    const commitLsn = before.commitLsn + unpackDistance(commits.unsigned64());
    const endLsn = commitLsn + unpackDistance(ends.unsigned64());
    const commitTime = BigInt.asIntN(64, before.commitTime + times.signed64());
    const { offset } = before;
    const length = bytes.unsigned();
    if (xid < 0n || xid > 0xffff_ffffn) throw wrong('have an impossible xid');
    if (commitLsn === before.commitLsn && !isFirst) throw wrong('are not in order');
    if (endLsn <= commitLsn || endLsn > run.to) throw wrong('lie outside their run');
    if (offset + length > run.plainBytes) throw wrong('do not fill their records');
    const rows = readRows(entries.unsigned(), columns, run);
    yield {
      xid: Number(xid),
      commitLsn: asLsn(commitLsn),
      endLsn: asLsn(endLsn),
      commitTime,
      offset,
      bytes: length,
      messages: messages.unsigned(),
      rows,
    };
    before = { xid, commitLsn, commitTime, offset: offset + length };
    isFirst = false;
  }
  if (before.offset !== run.plainBytes) throw wrong('do not fill their records');
  for (const column of columns) column.end();
}

type Columns = readonly [
  VarintReader,
  VarintReader,
  VarintReader,
  VarintReader,
  VarintReader,
  VarintReader,
  VarintReader,
  VarintReader,
  VarintReader,
];

function splitColumns(plain: Buffer): Columns {
  let at = 0;
  const columns = COLUMNS.map(() => {
    if (plain.length - at < 4) throw wrong('lack a column');
    const start = at + 4;
    at = start + plain.readUInt32BE(at);
    if (at > plain.length) throw wrong('lack a column');
    return new VarintReader(plain.subarray(start, at));
  });
  if (at !== plain.length) throw wrong('have too many columns');
  return columns as unknown as Columns;
}

function readRows(count: number, columns: Columns, run: RunBounds): TableRows[] {
  const rows: TableRows[] = [];
  for (let left = count; left > 0; left -= 1) {
    const tableKind = columns[7].unsigned();
    const kind = ROW_KINDS[tableKind % ROW_KINDS.length];
    const table = Math.floor(tableKind / ROW_KINDS.length);
    if (table >= run.tables || kind === undefined) throw wrong('name a table that their run does not have');
    rows.push({ table, kind, rows: columns[8].unsigned() });
  }
  return rows;
}

function packDistance(distance: bigint): bigint {
  return distance % ALIGNMENT === 0n ? (distance / ALIGNMENT) << 1n : (distance << 1n) | 1n;
}

function unpackDistance(packed: bigint): bigint {
  return (packed & 1n) === 0n ? (packed >> 1n) * ALIGNMENT : packed >> 1n;
}

function wrong(what: string): Failure {
  return new Failure('integrity.format', `a run’s transactions ${what}`);
}
