import type { MessageReader } from './message-reader.ts';

/** n: null · u: unchanged, stored out of line, not sent · t: text · b: binary (we never ask for it). */
export type ColumnKind = 'n' | 'u' | 't' | 'b';

const NULL = 0x6e;
const UNCHANGED = 0x75;
const TEXT = 0x74;
const BINARY = 0x62;

/**
 * One row's values as the server wrote them, in the order of the Relation message in force: views into the
 * message, converted by nobody (REPLICATION I 30, I 38). `u` is neither null nor empty: the column keeps its value.
 */
export class Tuple {
  readonly #bytes: Buffer;
  /** Where each column's kind stands. */
  readonly #starts: readonly number[];
  /** Has what was not sent. */
  readonly #older: Tuple | undefined;

  constructor(bytes: Buffer, starts: readonly number[], older?: Tuple) {
    this.#bytes = bytes;
    this.#starts = starts;
    this.#older = older;
  }

  get columns(): number {
    return this.#starts.length;
  }

  kind(column: number): ColumnKind {
    switch (this.#bytes[this.#start(column)] ?? NULL) {
      case TEXT:
        return 't';
      case UNCHANGED:
        return this.#older?.kind(column) ?? 'u';
      case BINARY:
        return 'b';
      default:
        return 'n';
    }
  }

  /** The value of a `t` or `b` column; undefined for the others. */
  value(column: number): Buffer | undefined {
    const length = this.length(column);
    if (length === -1) return undefined;
    const { bytes, at } = this.place(column);
    return bytes.subarray(at, at + length);
  }

  /** Of the value of a `t` or `b` column; -1 for the others. */
  length(column: number): number {
    const start = this.#start(column);
    switch (this.#bytes[start] ?? NULL) {
      case TEXT:
      case BINARY:
        return int32(this.#bytes, start + 1);
      case UNCHANGED:
        return this.#older?.length(column) ?? -1;
      default:
        return -1;
    }
  }

  /** Where the value of a `t` or `b` column begins: for millions of rows a view of each value costs more than the rest. */
  place(column: number): { readonly bytes: Buffer; readonly at: number } {
    const start = this.#start(column);
    if (this.#older !== undefined && this.#bytes[start] === UNCHANGED) return this.#older.place(column);
    return { bytes: this.#bytes, at: start + 5 };
  }

  /** This row, with an older one's values where its own were not sent. */
  filledFrom(older: Tuple): Tuple {
    if (!this.#starts.some((start) => this.#bytes[start] === UNCHANGED)) return this;
    // One that has nothing to give is passed over: a row that changes often would hold all that it ever was.
    let from: Tuple | undefined = this.#older?.filledFrom(older) ?? older;
    while (from !== undefined && !this.#takesFrom(from)) from = from.#older;
    return from === undefined ? this : new Tuple(this.#bytes, this.#starts, from);
  }

  #takesFrom(older: Tuple): boolean {
    return this.#starts.some(
      (start, column) => this.#bytes[start] === UNCHANGED && older.#bytes[older.#start(column)] !== UNCHANGED,
    );
  }

  #start(column: number): number {
    const start = this.#starts[column];
    if (start === undefined)
      throw new RangeError(`a tuple of ${this.columns} columns has no column ${column}`);
    return start;
  }
}

export function readTuple(reader: MessageReader): Tuple {
  const count = reader.columns();
  const starts: number[] = [];
  // All at once: it grows by sixteen otherwise, and rows wait by the thousand.
  starts.length = count;
  for (let column = 0; column < count; column += 1) {
    starts[column] = reader.at;
    const kind = reader.byte();
    if (kind === TEXT || kind === BINARY) reader.skip(reader.length());
    else if (kind !== NULL && kind !== UNCHANGED) throw reader.wrong('has a column of unknown kind');
  }
  return new Tuple(reader.bytes, starts);
}

/** As readInt32BE, without its checks: the reader made them. */
function int32(bytes: Buffer, at: number): number {
  return (
    ((bytes[at] ?? 0) << 24) |
    ((bytes[at + 1] ?? 0) << 16) |
    ((bytes[at + 2] ?? 0) << 8) |
    (bytes[at + 3] ?? 0)
  );
}
