import type { Tuple } from '../pgoutput/tuple.ts';
import type { Run } from './table-runs.ts';
import type { TargetTable } from './target-table.ts';
import { textArray } from './text-array.ts';

export interface Statement {
  readonly text: string;
  readonly values: readonly Buffer[];
}

/** PostgreSQL takes a hundred arguments in a call (FUNC_MAX_ARGS); format() has one more in front. */
const COLUMNS_PER_FORMAT = 90;

/** COPY of a run of inserts. It names GENERATED ALWAYS identity columns, which COPY takes and INSERT would refuse. */
export function copyStatement(table: TargetTable, encoding: string): string {
  const columns = table.columns.map((column) => column.quoted).join(', ');
  const list = columns === '' ? '' : ` (${columns})`;
  return `COPY ${table.quoted}${list} FROM STDIN WITH (FORMAT text, ENCODING '${encoding}')`;
}

/** One statement for a run; it touches just as many rows as the run has changes, or they do not fit. */
export function statementOf({ table, changes }: Run): Statement {
  const [first] = changes;
  if (first === undefined) throw new TypeError('no run without changes');
  const parameters = new Parameters();
  const olds = changes.map((change) => change.old);
  const rows = changes.map((change) => change.row);
  if (first.kind === 'insert') return insertStatement(table, rows);
  const assignments = first.sets.flatMap((column) => {
    const { quoted, cast } = columnAt(table, column);
    return [`${quoted} = ${cast(parameters.add(rows, column))}`];
  });
  const change =
    first.kind === 'delete'
      ? { head: `DELETE FROM ONLY ${table.quoted} AS t USING` }
      : { head: `UPDATE ONLY ${table.quoted} AS t SET ${assignments.join(', ')} FROM` };
  if (table.key === undefined) return wholeRow(table, { head: change.head, olds, parameters });
  const conditions = table.key.map(({ column, equals }) => {
    const { quoted, cast } = columnAt(table, column);
    return `t.${quoted} ${equals} ${cast(parameters.add(olds, column))}`;
  });
  const head =
    first.kind === 'update' && assignments.length === 0
      ? `SELECT FROM ONLY ${table.quoted} AS t,` // nothing to set, but the row must be there
      : change.head;
  return {
    text: `${head} ${parameters.source('u')} WHERE ${conditions.join(' AND ')}`,
    values: parameters.values,
  };
}

function insertStatement(table: TargetTable, rows: readonly (Tuple | undefined)[]): Statement {
  const parameters = new Parameters();
  const names = table.columns.map((column) => column.quoted).join(', ');
  const casts = table.columns.map(({ cast }, column) => cast(parameters.add(rows, column))).join(', ');
  return {
    text: `INSERT INTO ${table.quoted} (${names}) OVERRIDING SYSTEM VALUE SELECT ${casts} FROM ${parameters.source('u')}`,
    values: parameters.values,
  };
}

/**
 * Rows that only their whole contents find: compared as text, which is exact, since it is what the same output
 * functions wrote, and works for types that know no equality. Of rows alike, as many are taken as are meant.
 */
function wholeRow(
  table: TargetTable,
  change: {
    readonly head: string;
    readonly olds: readonly (Tuple | undefined)[];
    readonly parameters: Parameters;
  },
): Statement {
  const { head, olds, parameters } = change;
  const places = table.columns.map((_, column) => parameters.add(olds, column));
  const wanted = rowText(places);
  const found = rowText(table.columns.map((column) => `s.${column.quoted}`));
  const rows = olds.length;
  return {
    text:
      `WITH wanted AS MATERIALIZED (SELECT u.*, ${wanted} AS whole, row_number() OVER (PARTITION BY ${wanted}) AS nth` +
      ` FROM ${places.length === 0 ? `generate_series(1, ${rows}) AS u(c0)` : parameters.source('u')}),` +
      ` found AS MATERIALIZED (SELECT at, whole, row_number() OVER (PARTITION BY whole) AS nth` +
      ` FROM (SELECT s.ctid AS at, ${found} AS whole FROM ONLY ${table.quoted} AS s) AS s` +
      ` WHERE whole IN (SELECT whole FROM wanted))` +
      ` ${head} wanted AS u JOIN found AS f ON f.whole = u.whole AND f.nth = u.nth WHERE t.ctid = f.at`,
    values: parameters.values,
  };
}

/** One text for a row, the same for the same values only: format's %L quotes what the output function wrote. */
function rowText(values: readonly string[]): string {
  const calls: string[] = [];
  for (let at = 0; at < values.length; at += COLUMNS_PER_FORMAT) {
    const some = values.slice(at, at + COLUMNS_PER_FORMAT);
    calls.push(`format('${some.map(() => '%L,').join('')}', ${some.join(', ')})`);
  }
  return `(${calls.length === 0 ? "''" : calls.join(' || ')}) COLLATE "C"`;
}

function columnAt(table: TargetTable, column: number): TargetTable['columns'][number] {
  const found = table.columns[column];
  if (found === undefined) throw new RangeError(`${table.quoted} has no column ${column}`);
  return found;
}

/** Columns of values as arrays, each one parameter, and the rows that they unnest to. */
class Parameters {
  readonly values: Buffer[] = [];

  /** The name by which the statement speaks of these values. */
  add(tuples: readonly (Tuple | undefined)[], column: number): string {
    this.values.push(textArray(tuples, column));
    return `u.c${this.values.length - 1}`;
  }

  source(alias: string): string {
    const arrays = this.values.map((_, place) => `$${place + 1}::text[]`).join(', ');
    const names = this.values.map((_, place) => `c${place}`).join(', ');
    return `unnest(${arrays}) AS ${alias}(${names})`;
  }
}
