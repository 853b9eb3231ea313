const TEXT_OID = 25;
const HEADER_BYTES = 20;

/**
 * A `text[]` parameter in the binary format (array_recv in arrayfuncs.c): values pass as the bytes they are, with no
 * quoting to go wrong. undefined is null.
 */
export function textArray(values: readonly (Buffer | undefined)[]): Buffer {
  let size = HEADER_BYTES;
  for (const value of values) size += 4 + (value?.length ?? 0);
  const bytes = Buffer.allocUnsafe(size);
  bytes.writeInt32BE(1, 0); // dimensions
  bytes.writeInt32BE(values.includes(undefined) ? 1 : 0, 4);
  bytes.writeInt32BE(TEXT_OID, 8);
  bytes.writeInt32BE(values.length, 12);
  bytes.writeInt32BE(1, 16); // lower bound
  let at = HEADER_BYTES;
  for (const value of values) {
    bytes.writeInt32BE(value?.length ?? -1, at);
    at += 4;
    if (value === undefined) continue;
    value.copy(bytes, at);
    at += value.length;
  }
  return bytes;
}
