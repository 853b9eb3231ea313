import type { Tuple } from '../pgoutput/tuple.ts';

const TEXT_OID = 25;
const HEADER_BYTES = 20;

/**
 * One column of rows as a `text[]` parameter in the binary format (array_recv in arrayfuncs.c): values pass as the bytes
 * they are, with no quoting to go wrong. No row, or no value, is null.
 */
export function textArray(rows: readonly (Tuple | undefined)[], column: number): Buffer {
  let size = HEADER_BYTES;
  let hasNull = false;
  for (const row of rows) {
    const length = row?.length(column) ?? -1;
    if (length === -1) hasNull = true;
    size += 4 + Math.max(0, length);
  }
  const bytes = Buffer.allocUnsafe(size);
  bytes.writeInt32BE(1, 0); // dimensions
  bytes.writeInt32BE(hasNull ? 1 : 0, 4);
  bytes.writeInt32BE(TEXT_OID, 8);
  bytes.writeInt32BE(rows.length, 12);
  bytes.writeInt32BE(1, 16); // lower bound
  let at = HEADER_BYTES;
  for (const row of rows) {
    const length = row?.length(column) ?? -1;
    bytes.writeInt32BE(length, at);
    at += 4;
    if (row === undefined || length === -1) continue;
    const value = row.place(column);
    value.bytes.copy(bytes, at, value.at, value.at + length);
    at += length;
  }
  return bytes;
}
