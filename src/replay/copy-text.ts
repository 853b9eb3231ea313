import type { Tuple } from '../pgoutput/tuple.ts';

const CHUNK_BYTES = 256 * 1024;
const TAB = 0x09;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const BACKSLASH = 0x5c;

/**
 * Rows as COPY text (manual: COPY, "Text Format"), byte by byte: nothing is decoded, so any encoding passes in which
 * an ASCII byte is always that character (UTF-8, SQL_ASCII). Columns without a value are null.
 */
export async function* copyText(rows: readonly Tuple[]): AsyncGenerator<Buffer> {
  let chunk = Buffer.allocUnsafe(firstBytes(rows));
  let at = 0;
  for (const row of rows) {
    const most = mostBytes(row);
    if (at > 0 && at + most > chunk.length) {
      yield chunk.subarray(0, at);
      chunk = Buffer.allocUnsafe(Math.max(CHUNK_BYTES, most));
      at = 0;
    } else if (most > chunk.length) chunk = Buffer.allocUnsafe(most);
    at = writeRow(row, chunk, at);
  }
  if (at > 0) yield chunk.subarray(0, at);
}

/** A chunk, or less when all rows take less. */
function firstBytes(rows: readonly Tuple[]): number {
  let bytes = 0;
  for (const row of rows) {
    bytes += mostBytes(row);
    if (bytes >= CHUNK_BYTES) return CHUNK_BYTES;
  }
  return bytes;
}

/** Two bytes for each one, a mark behind each column; a null is `\N`. */
function mostBytes(row: Tuple): number {
  let most = 1;
  for (let column = 0; column < row.columns; column += 1) most += 3 + 2 * Math.max(0, row.length(column));
  return most;
}

function writeRow(row: Tuple, into: Buffer, start: number): number {
  let at = start;
  for (let column = 0; column < row.columns; column += 1) {
    if (column > 0) into[at++] = TAB;
    const length = row.length(column);
    if (length === -1) {
      into[at++] = BACKSLASH;
      into[at++] = 0x4e;
    } else {
      const value = row.place(column);
      at = writeValue(value.bytes, { start: value.at, end: value.at + length }, into, at);
    }
  }
  into[at++] = NEWLINE;
  return at;
}

function writeValue(
  from: Buffer,
  value: { readonly start: number; readonly end: number },
  into: Buffer,
  start: number,
): number {
  let at = start;
  for (let index = value.start; index < value.end; index += 1) {
    const byte = from[index] ?? 0;
    const letter = escaped(byte);
    if (letter !== 0) into[at++] = BACKSLASH;
    into[at++] = letter === 0 ? byte : letter;
  }
  return at;
}

function escaped(byte: number): number {
  if (byte > RETURN && byte !== BACKSLASH) return 0;
  switch (byte) {
    case TAB:
      return 0x74;
    case NEWLINE:
      return 0x6e;
    case RETURN:
      return 0x72;
    case BACKSLASH:
      return BACKSLASH;
    default:
      return 0;
  }
}
