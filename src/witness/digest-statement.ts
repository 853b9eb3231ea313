import { quoteIdentifier, quoteLiteral, quoteRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';

/** What the digests of a witness are, by name: another way of making them gets another name. */
export const DIGEST_METHOD = 'sum-of-sha256-of-row-text-v1';

/** A table's content as far as a witness sees it. */
export interface TableDigest {
  readonly rows: bigint;
  /** Sums of the four signed 64-bit quarters of each row's SHA-256, most significant first. */
  readonly lanes: readonly [bigint, bigint, bigint, bigint];
}

/** What a digest is made of: these columns of the rows that fit. */
export interface DigestedTable extends RelationName {
  readonly columns: readonly string[];
  /** `WHERE …`, of an extension's configuration table; undefined: all rows. */
  readonly condition: string | undefined;
}

const LANES = [0, 8, 16, 24] as const;
const BYTES = [0, 1, 2, 3, 4, 5, 6, 7] as const;

/**
 * One SELECT that answers one row: `rows` and `lanes`, as text. The server does the work, on any major from 14, without
 * an extension; the session must have pinned what shapes text. Sums, since rows have no order; never XOR, in
 * which two equal rows would cancel out. The columns stand by name, so that their order in the table does not matter.
 * ONLY: partitions and children are tables of their own.
 */
export function digestStatement(table: DigestedTable, encoding: string): string {
  const columns = table.columns.map((column) => quoteIdentifier(column)).join(', ');
  const condition = table.condition === undefined ? '' : ` ${table.condition}`;
  const lanes = LANES.map((from) => `coalesce(sum(${bigEndian(from)}), 0)::text`);
  // OFFSET 0 keeps the digest from being made anew for each byte of it that is looked at.
  return `SELECT count(*)::text AS "rows", ARRAY[${lanes.join(', ')}] AS "lanes"
  FROM (SELECT sha256(convert_to(ROW(${columns})::text, ${quoteLiteral(encoding)})) AS d
          FROM ONLY ${quoteRelation(table)}${condition} OFFSET 0) AS r`;
}

/** Eight bytes as an int8: an eighth of what a cast from text by way of `bit` costs. */
function bigEndian(from: number): string {
  return BYTES.map((byte) => `(get_byte(d, ${from + byte})::int8 << ${56 - 8 * byte})`).join(' | ');
}

/** Reads the statement's one row. */
export function readDigest(row: { readonly rows: string; readonly lanes: readonly string[] }): TableDigest {
  const [a, b, c, d] = row.lanes.map(BigInt);
  if (a === undefined || b === undefined || c === undefined || d === undefined)
    throw new TypeError('a digest has four lanes');
  return { rows: BigInt(row.rows), lanes: [a, b, c, d] };
}

export function isSameDigest(one: TableDigest, other: TableDigest): boolean {
  return one.rows === other.rows && one.lanes.every((lane, index) => lane === other.lanes[index]);
}
