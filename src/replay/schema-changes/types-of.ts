import { quoteRelation } from '../../model/identifiers.ts';
import { decodeMessage } from '../../pgoutput/decode.ts';
import type { RelationInForce } from '../../pgoutput/relations-in-force.ts';
import type { Connection } from '../../postgres/connection.ts';

/** Types of a relation's columns as the target prints them: built-in ones by number, others by their Type messages. */
export async function typesOf(
  connection: Connection,
  { relation, types }: RelationInForce,
): Promise<(string | undefined)[]> {
  const names = new Map<number, string>();
  for (const { raw } of types) {
    const type = decodeMessage(raw, 'storage');
    if (type.kind === 'type') names.set(type.oid, quoteRelation(type));
  }
  const rows = await connection.query<{ type: string | null }>(
    `SELECT format_type(CASE WHEN t.name IS NULL THEN (SELECT oid FROM pg_type WHERE oid = t.oid) ELSE to_regtype(t.name) END, t.modifier) AS "type"
       FROM unnest($1::oid[], $2::text[], $3::int[]) WITH ORDINALITY AS t(oid, name, modifier, place) ORDER BY place`,
    [
      relation.columns.map(({ typeOid }) => typeOid),
      relation.columns.map(({ typeOid }) => names.get(typeOid) ?? null),
      relation.columns.map(({ typeModifier }) => typeModifier),
    ],
  );
  return rows.map(({ type }) => type ?? undefined);
}
