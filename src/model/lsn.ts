declare const brand: unique symbol;

/**
 * A position in the write-ahead log: unsigned, 64 bits (pg_lsn). Compared and ordered as the number it is; its
 * text is unpadded, so texts must never be compared.
 */
export type Lsn = bigint & { readonly [brand]: 'lsn' };

const MAX = 0xffff_ffff_ffff_ffffn;

/** A number that is known to be a position. Throws a RangeError beyond 64 bits. */
export function asLsn(value: bigint): Lsn {
  if (value < 0n || value > MAX) throw new RangeError('a WAL position has 64 bits');
  return value as Lsn;
}

/** Reads `16/B374D848` as pg_lsn does (pg_lsn_in); undefined when it is none. */
export function parseLsn(text: string): Lsn | undefined {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (match === null) return undefined;
  return ((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)) as Lsn;
}

/** `16/B374D848`, as PostgreSQL 14 to 18 print it (LSN_FORMAT_ARGS with %X/%X). */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffff_ffffn).toString(16)}`.toUpperCase();
}

/** Sixteen upper-case hex digits, for keys: their order as text is the order of the positions. */
export function lsnKey(lsn: Lsn): string {
  return lsn.toString(16).toUpperCase().padStart(16, '0');
}

/** Undoes `lsnKey`; undefined for any other text. */
export function parseLsnKey(text: string): Lsn | undefined {
  return /^[0-9A-F]{16}$/.test(text) ? (BigInt(`0x${text}`) as Lsn) : undefined;
}
