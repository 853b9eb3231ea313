import type { Proof } from '../archive/drill-document.ts';
import { Failure } from '../model/failure.ts';
import { displayRelation, quoteIdentifier, quoteRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import { formatCount } from '../model/quantities.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import { meets, parseExpectation } from './expectation.ts';

/** A check of the user's own: one value, and what it must be. */
export interface UserCheck {
  readonly name: string;
  readonly sql: string;
  readonly expect: string;
}

/** A table that must be there, with so many rows at least. */
export interface RequiredTable extends RelationName {
  readonly rows: bigint;
}

/** What the database itself must hold, whatever was restored. Reads only. What there is none of is not among the proofs. */
export async function lookAtDatabase(
  connection: Connection,
  wanted: { readonly checks: readonly UserCheck[]; readonly tables: readonly RequiredTable[] },
): Promise<Proof[]> {
  const proofs: Proof[] = [];
  for (const look of [foreignKeys, sequences, indexes]) {
    const proof = await look(connection);
    if (proof !== undefined) proofs.push(proof);
  }
  for (const table of wanted.tables) proofs.push(await requiredTable(connection, table));
  for (const check of wanted.checks) proofs.push(await userCheck(connection, check));
  return proofs;
}

/** A restore makes them, and PostgreSQL then looks at every row; of those that are NOT VALID, as on the source, nothing is known. */
async function foreignKeys(connection: Connection): Promise<Proof | undefined> {
  const [found] = await connection.query<{ valid: number; notValid: string[] }>(sqlFile('drill/constraints'));
  const { valid = 0, notValid = [] } = found ?? {};
  if (valid + notValid.length === 0) return undefined;
  const detail = `${formatCount(valid)} hold${notValid.length === 0 ? '' : `; not valid: ${notValid.join(', ')}`}`;
  const outcome = notValid.length === 0 ? 'proved' : 'skipped';
  return { kind: 'foreign-keys', name: 'foreign keys', outcome, detail };
}

interface OwnedSequence extends RelationName {
  readonly sequenceSchema: string;
  readonly sequenceName: string;
  readonly column: string;
  readonly increment: string;
}

/** The next number of each sequence must be one that its column does not hold yet. */
async function sequences(connection: Connection): Promise<Proof | undefined> {
  const owned = await connection.query<OwnedSequence>(sqlFile('drill/sequences'));
  if (owned.length === 0) return undefined;
  const behind: string[] = [];
  for (const one of owned) {
    const up = !one.increment.startsWith('-');
    const column = quoteIdentifier(one.column);
    const sequence = quoteRelation({ schema: one.sequenceSchema, name: one.sequenceName });
    const next = `(SELECT CASE WHEN is_called THEN last_value + (${one.increment}) ELSE last_value END FROM ${sequence})`;
    const [found] = await connection.query<{ behind: boolean | null }>(
      `SELECT ${up ? 'max' : 'min'}(${column}) ${up ? '>=' : '<='} ${next} AS "behind" FROM ${quoteRelation(one)}`,
    );
    if (found?.behind === true)
      behind.push(displayRelation({ schema: one.sequenceSchema, name: one.sequenceName }));
  }
  return {
    kind: 'sequences',
    name: 'sequences',
    outcome: behind.length === 0 ? 'proved' : 'disproved',
    detail:
      behind.length === 0
        ? `${formatCount(owned.length)} stand behind what their columns hold`
        : `the next number is already taken: ${behind.join(', ')}`,
  };
}

/** Every B-tree entry in order and every row in its index, by amcheck where the database has it; else that all are valid. */
async function indexes(connection: Connection): Promise<Proof | undefined> {
  const all = await connection.query<{ name: string; oid: string; valid: boolean; btree: boolean }>(
    sqlFile('drill/indexes'),
  );
  if (all.length === 0) return undefined;
  const of = (outcome: Proof['outcome'], detail: string): Proof => ({
    kind: 'indexes',
    name: 'indexes',
    outcome,
    detail,
  });
  const invalid = all.filter(({ valid }) => !valid);
  if (invalid.length > 0) return of('disproved', `not valid: ${invalid.map(({ name }) => name).join(', ')}`);
  const [amcheck] = await connection.query<{ schema: string | null }>(
    `SELECT (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'amcheck') AS "schema"`,
  );
  if (amcheck?.schema === null || amcheck === undefined)
    return of('proved', `${formatCount(all.length)} are valid; amcheck is not there to look into them`);
  const check = `${quoteIdentifier(amcheck.schema)}.bt_index_check`;
  const looked = all.filter(({ btree }) => btree);
  for (const { name, oid } of looked) {
    try {
      await connection.query(`SELECT ${check}($1::oid::regclass, true)`, [oid]);
    } catch (error) {
      // XX002: index_corrupted.
      if (!(error instanceof Failure) || error.facts['sqlstate'] !== 'XX002') throw error;
      return of('disproved', `${name} is broken`);
    }
  }
  return of('proved', `${formatCount(looked.length)} B-trees hold every row, in order`);
}

async function requiredTable(connection: Connection, table: RequiredTable): Promise<Proof> {
  const name = displayRelation(table);
  try {
    const [found] = await connection.query<{ rows: string }>(
      `SELECT count(*)::text AS "rows" FROM ${quoteRelation(table)}`,
    );
    const rows = BigInt(found?.rows ?? 0);
    const outcome = rows >= table.rows ? 'proved' : 'disproved';
    return {
      kind: 'table',
      name,
      outcome,
      detail: `${formatCount(rows)} rows, at least ${formatCount(table.rows)} wanted`,
    };
  } catch (error) {
    if (!(error instanceof Failure) || !['42P01', '3F000'].includes(String(error.facts['sqlstate'])))
      throw error;
    return { kind: 'table', name, outcome: 'disproved', detail: 'it is not there' };
  }
}

/** How long one check of the user's may take. */
const CHECK_MS = 600_000;

/** In a transaction that may write nothing and is rolled back. SQL that fails disproves: it worked on the source. */
async function userCheck(connection: Connection, { name, sql, expect }: UserCheck): Promise<Proof> {
  const expectation = parseExpectation(expect);
  if (expectation === undefined)
    throw new Failure('config.invalid', `check ${name} expects no comparison: write one like > 0`);
  const of = (outcome: Proof['outcome'], detail: string): Proof => ({ kind: 'check', name, outcome, detail });
  await connection.execute(`BEGIN READ ONLY; SET LOCAL statement_timeout = ${CHECK_MS}`);
  try {
    const rows = await connection.query<Record<string, unknown>>(sql);
    const value: unknown = Object.values(rows[0] ?? {})[0];
    if (rows.length !== 1 || Object.keys(rows[0] ?? {}).length !== 1)
      return of(
        'disproved',
        `answered ${rows.length} rows of ${Object.keys(rows[0] ?? {}).length} columns, not one value`,
      );
    const found = value === null ? null : typeof value === 'string' ? value : JSON.stringify(value);
    return of(
      meets(found, expectation) ? 'proved' : 'disproved',
      `found ${found ?? 'NULL'}, expected ${expect}`,
    );
  } catch (error) {
    if (!(error instanceof Failure) || error.facts['sqlstate'] === undefined) throw error;
    return of('disproved', `failed with SQLSTATE ${String(error.facts['sqlstate'])}`);
  } finally {
    await connection.execute('ROLLBACK');
  }
}
