/** A WAL position. As text Postgres prints `16/B374D848` without padding, so text never compares; this does. */
export type Lsn = bigint & { readonly brand: 'Lsn' };

export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) throw new TypeError(`not an LSN: ${text}`);
  return ((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)) as Lsn;
}

/** As Postgres prints it (pg_lsn_out). */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}
