import type { MessageReader } from './message-reader.ts';

/** n: null · u: unchanged, stored out of line, not sent · t: text · b: binary (we never ask for it). */
export type ColumnKind = 'n' | 'u' | 't' | 'b';

const NULL = 0x6e;
const UNCHANGED = 0x75;
const TEXT = 0x74;
const BINARY = 0x62;
const KINDS: ReadonlyMap<number, ColumnKind> = new Map([
  [NULL, 'n'],
  [UNCHANGED, 'u'],
  [TEXT, 't'],
  [BINARY, 'b'],
]);

/**
 * One row's values as the server wrote them, in the order of the Relation message in force: views into the
 * message, converted by nobody (REPLICATION I 30, I 38). `u` is neither null nor empty: the column keeps its value.
 */
export class Tuple {
  readonly #bytes: Buffer;
  /** Where each column's kind stands. */
  readonly #starts: readonly number[];

  constructor(bytes: Buffer, starts: readonly number[]) {
    this.#bytes = bytes;
    this.#starts = starts;
  }

  get columns(): number {
    return this.#starts.length;
  }

  kind(column: number): ColumnKind {
    return KINDS.get(this.#bytes[this.#start(column)] ?? 0) ?? 'n';
  }

  /** The value of a `t` or `b` column; undefined for the others. */
  value(column: number): Buffer | undefined {
    const start = this.#start(column);
    const kind = this.#bytes[start];
    if (kind === NULL || kind === UNCHANGED) return undefined;
    const length = this.#bytes.readInt32BE(start + 1);
    return this.#bytes.subarray(start + 5, start + 5 + length);
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
  for (let column = 0; column < count; column += 1) {
    starts.push(reader.at);
    const kind = reader.byte();
    if (!KINDS.has(kind)) throw reader.wrong('has a column of unknown kind');
    if (kind === TEXT || kind === BINARY) reader.skip(reader.length());
  }
  return new Tuple(reader.bytes, starts);
}
