import type { CatalogReader } from '../postgres/inventory.ts';

/**
 * Settings that shape COPY text, pinned so that a restore reads what was written (REPLICATION A4, I 36).
 * `search_path` empty: reg* values print their schema. As pg_dump's setup_connection() does, and lc_monetary.
 */
export const COPY_TEXT_SETTINGS: Readonly<Record<string, string>> = {
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '3',
  bytea_output: 'hex',
  lc_monetary: 'C',
  search_path: '',
  xmloption: 'content',
};

/** What keeps a long session alive and honest; those a server does not know are left out. */
const SESSION_SETTINGS: Readonly<Record<string, string>> = {
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  transaction_timeout: '0',
  row_security: 'off',
  synchronize_seqscans: 'off',
  restrict_nonsystem_relation_kind: 'view, foreign-table',
  default_transaction_read_only: 'on',
};

/**
 * The settings of a snapshot's sessions that this server knows: transaction_timeout came with 17,
 * restrict_nonsystem_relation_kind with the minors of August 2024.
 */
export async function snapshotSession(reader: CatalogReader): Promise<Record<string, string>> {
  const all = { ...SESSION_SETTINGS, ...COPY_TEXT_SETTINGS };
  const rows = await reader.query<{ name: string }>('SELECT name FROM pg_settings WHERE name = ANY ($1)', [
    Object.keys(all),
  ]);
  const known = new Set(rows.map((row) => row.name));
  return Object.fromEntries(Object.entries(all).filter(([name]) => known.has(name)));
}
