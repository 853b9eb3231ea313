import { Failure } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import type { Message } from '../pgoutput/decode.ts';
import type { Tuple } from '../pgoutput/tuple.ts';
import type { TargetTable } from './target-table.ts';

/** A row's change, and which others can be made in one statement with it. */
export interface RowChange {
  readonly kind: 'insert' | 'update' | 'delete';
  /** What finds the row: its old key or old whole where they were sent, else the new row. Not of an insert. */
  readonly old: Tuple | undefined;
  /** Not of a delete. */
  readonly row: Tuple | undefined;
  /** Places of the columns that an update sets; of others, none. */
  readonly sets: readonly number[];
  /** Changes of one shape make one run: the kind, and the columns set. */
  readonly shape: string;
}

const NO_COLUMNS: readonly number[] = [];

/**
 * `message` is one of a row of this table; undefined for any other. Fails with `integrity.format` on values that the
 * definition in force can't have, or that are not text: read all the same, they would end in other columns.
 */
export function rowChange(message: Message, table: TargetTable): RowChange | undefined {
  if (message.kind === 'insert' || message.kind === 'update')
    assertFits(message.row, table, { mayLack: message.kind === 'update' });
  if ((message.kind === 'delete' || message.kind === 'update') && message.old !== undefined)
    assertFits(message.old.tuple, table, { mayLack: false });
  if (message.kind === 'insert')
    return { kind: 'insert', old: undefined, row: message.row, sets: NO_COLUMNS, shape: 'insert' };
  if (message.kind === 'delete')
    return { kind: 'delete', old: message.old.tuple, row: undefined, sets: NO_COLUMNS, shape: 'delete' };
  if (message.kind !== 'update') return undefined;
  const { row } = message;
  const old = message.old?.tuple ?? row;
  const sets = columnsToSet(table, old, row);
  return { kind: 'update', old, row, sets, shape: updateShape(sets) };
}

/** Updates of the same columns make one statement. */
export function updateShape(sets: readonly number[]): string {
  return `update ${sets.join()}`;
}

function assertFits(tuple: Tuple, table: TargetTable, options: { readonly mayLack: boolean }): void {
  let fits = tuple.columns === table.columns.length;
  for (let column = 0; fits && column < tuple.columns; column += 1) {
    const kind = tuple.kind(column);
    fits = kind === 't' || kind === 'n' || (kind === 'u' && options.mayLack);
  }
  if (!fits) {
    const name = displayRelation(table.relation);
    throw new Failure('integrity.format', `a row of ${name} is not of its definition`, {
      facts: { table: name },
    });
  }
}

/** Values that decide whether two changes are of one row, as text of one-byte characters; two where the key changes. */
export function rowKeys(change: RowChange, table: TargetTable): readonly string[] {
  const { old, row, kind } = change;
  const before = old === undefined ? undefined : keyText(old, table, old);
  if (row === undefined || (row === old && kind === 'update')) return before === undefined ? [] : [before];
  const after = keyText(row, table, old);
  return before === undefined || before === after ? [after] : [before, after];
}

/** All that was sent, but for the key where it stays: then the statement needs no word of it. */
function columnsToSet(table: TargetTable, old: Tuple, row: Tuple): readonly number[] {
  const sets: number[] = [];
  for (let column = 0; column < row.columns; column += 1) {
    if (row.kind(column) === 'u') continue;
    if (table.columns[column]?.isKey === true && sameValue(old, row, column)) continue;
    sets.push(column);
  }
  return sets;
}

function sameValue(old: Tuple, row: Tuple, column: number): boolean {
  if (old === row) return true;
  const [before, after] = [old.value(column), row.value(column)];
  return before === undefined || after === undefined ? before === after : before.equals(after);
}

/** An unchanged value that was not sent is the old row's. */
function keyText(tuple: Tuple, table: TargetTable, fallback: Tuple | undefined): string {
  let text = '';
  const columns = table.key?.length ?? tuple.columns;
  for (let part = 0; part < columns; part += 1) {
    const column = table.key?.[part]?.column ?? part;
    const from = tuple.kind(column) === 'u' ? (fallback ?? tuple) : tuple;
    const length = from.length(column);
    if (length === -1) text += 'n';
    else {
      const { bytes, at } = from.place(column);
      text += `${length}:${bytes.toString('latin1', at, at + length)}`;
    }
  }
  return text;
}
