import { quoteIdentifier, quoteLiteral, quoteRelation } from '../model/identifiers.ts';
import type { Relation } from '../postgres/inventory.ts';
import type { BlockRange } from './ranges.ts';

export interface CopyFormat {
  readonly format: 'text' | 'binary';
  /** The database's own encoding: the stream is stored without conversion, as pg_dump does. */
  readonly encoding: string;
}

/**
 * The COPY command that reads one range. `COPY table` where it can (cheapest in the server), a query where a
 * range or an extension's condition needs one. ONLY: children are tables of their own.
 */
export function copyOutStatement(table: Relation, range: BlockRange, how: CopyFormat): string {
  const options = `(FORMAT ${how.format}, ENCODING ${quoteLiteral(how.encoding)})`;
  const columns = table.columns.map((column) => quoteIdentifier(column)).join(', ');
  const conditions = [...rangeConditions(range), ...extensionCondition(table)];
  if (conditions.length === 0) {
    const list = columns === '' ? '' : ` (${columns})`;
    return `COPY ${quoteRelation(table)}${list} TO STDOUT WITH ${options}`;
  }
  return `COPY (SELECT ${columns} FROM ONLY ${quoteRelation(table)} WHERE ${conditions.join(' AND ')}) TO STDOUT WITH ${options}`;
}

function rangeConditions(range: BlockRange): string[] {
  return [
    ...(range.from === undefined ? [] : [`ctid >= '(${range.from},0)'::pg_catalog.tid`]),
    ...(range.to === undefined ? [] : [`ctid < '(${range.to},0)'::pg_catalog.tid`]),
  ];
}

/** The condition is SQL that the extension's author wrote: `WHERE …`, as pg_dump appends it. */
function extensionCondition(table: Relation): string[] {
  const text = table.condition?.trim() ?? '';
  return text === '' ? [] : [`(${text.replace(/^where\s/i, '')})`];
}
