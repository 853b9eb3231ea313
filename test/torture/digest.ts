import type { Connection } from '../../src/postgres/connection.ts';
import type { Lsn } from '../../src/model/lsn.ts';
import { parseSnapshot } from '../../src/model/xid.ts';
import type { TransactionSnapshot } from '../../src/model/xid.ts';
import { rows, session } from '../support/postgres.ts';
import { lsnOf } from '../support/replay.ts';

/** Of each table: rows, and a sum over their text. Made by the server alone, with nothing of ours. */
export type Digest = Readonly<Record<string, string>>;

/** Same text for the same value in every session. */
const SETTINGS =
  "SET extra_float_digits = 3; SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET bytea_output = 'hex'; SET search_path = ''";

const TABLES = `SELECT oid::regclass::text AS "name" FROM pg_class WHERE relkind = 'r'
  AND relnamespace::regnamespace::text !~ '^(pg_|information_schema|tidemark)' ORDER BY 1`;

export interface Witness {
  readonly snapshot: TransactionSnapshot;
  readonly upper: Lsn;
  readonly digest: Digest;
}

/** A session for digests of one database. */
export async function digestSession(url: string): Promise<Connection> {
  const connection = await session(url);
  await connection.execute(SETTINGS);
  return connection;
}

/** What the database holds now; `without` leaves tables out. */
export async function digestOf(connection: Connection, without: readonly string[] = []): Promise<Digest> {
  const tables = (await connection.query<{ name: string }>(TABLES)).filter(
    ({ name }) => !without.some((left) => name === `public.${left}`),
  );
  const found = await connection.query<{ name: string; digest: string }>(
    tables
      .map(
        ({ name }) =>
          `SELECT '${name.replaceAll("'", "''")}' AS "name", count(*) || ':' || coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::int8), 0) AS "digest" FROM ONLY ${name} AS t`,
      )
      .join(' UNION ALL '),
  );
  return Object.fromEntries(found.map(({ name, digest }) => [name, digest]));
}

/**
 * What one snapshot of a busy database shows. Locks first: TRUNCATE is not MVCC-safe. Undefined when a lock could not be
 * had soon.
 */
export async function witnessOf(connection: Connection): Promise<Witness | undefined> {
  const tables = await connection.query<{ name: string }>(TABLES);
  try {
    await connection.execute(
      "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '2s'",
    );
    await connection.execute(
      `LOCK TABLE ${tables.map(({ name }) => `ONLY ${name}`).join(', ')} IN ACCESS SHARE MODE`,
    );
    const [row] = await connection.query<{ snapshot: string; upper: string }>(
      'SELECT pg_current_snapshot()::text AS "snapshot", pg_current_wal_insert_lsn()::text AS "upper"',
    );
    const snapshot = parseSnapshot(row?.snapshot ?? '');
    if (row === undefined || snapshot === undefined) throw new Error('no snapshot');
    return { snapshot, upper: lsnOf(row.upper), digest: await digestOf(connection) };
  } catch (error) {
    if (!String(error).includes('lock timeout') && !String(error).includes('deadlock')) throw error;
    return undefined;
  } finally {
    await connection.execute('ROLLBACK');
  }
}

/** Tables in which two digests differ. */
export function differences(one: Digest, other: Digest): string[] {
  return [...new Set([...Object.keys(one), ...Object.keys(other)])].filter(
    (name) => one[name] !== other[name],
  );
}

export async function digestOfUrl(url: string): Promise<Digest> {
  await using connection = await digestSession(url);
  return await digestOf(connection);
}

export async function insertPosition(url: string): Promise<Lsn> {
  const [row] = await rows<{ lsn: string }>(url, 'SELECT pg_current_wal_insert_lsn()::text AS "lsn"');
  return lsnOf(row?.lsn);
}
