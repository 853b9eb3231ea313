import { quoteIdentifier, quoteRelation } from '../../model/identifiers.ts';
import type { Relation } from '../../pgoutput/decode.ts';
import { cannot, doing } from './change-plan.ts';
import type { ChangePlan } from './change-plan.ts';
import type { RelationDescription } from '../../archive/schema-message.ts';

/**
 * What a Relation message proves without any word of the command: that there is a table with such columns and such a
 * replica identity; that a column is new, or that one is gone. Not what older rows have in a new column, nor whether
 * one that is gone and one that is new are the same under another name. `types` of its columns, as the target prints them; what still differs afterwards is for the caller to see.
 */
export function planInference(
  relation: Relation,
  there: RelationDescription | undefined,
  types: readonly (string | undefined)[],
): ChangePlan {
  const table = quoteRelation(relation);
  const columns = relation.columns.map(({ name, isKey }, place) => ({ name, isKey, type: types[place] }));
  const untyped = columns.find(({ type }) => type === undefined);
  if (untyped !== undefined) return cannot(`the type of its column ${untyped.name} is not on the target`);
  const identity = identityOf(relation);
  if (there === undefined) {
    const list = columns.map(({ name, type }) => `${quoteIdentifier(name)} ${type}`).join(', ');
    return doing(`CREATE TABLE ${table} (${list})`, ...identity);
  }
  if (there.kind !== 'r') return cannot('is no table on the target');
  const found = new Map((there.columns ?? []).map((column) => [column.name, column]));
  const added = columns.filter(({ name }) => !found.has(name));
  const sent = new Set(columns.map(({ name }) => name));
  const gone = (there.columns ?? []).filter(
    (column) => column.generated === undefined && !sent.has(column.name),
  );
  if (added.length > 0 && gone.length > 0)
    return cannot(
      `has lost ${gone.map(({ name }) => name).join(', ')} and got ${added.map(({ name }) => name).join(', ')}: renamed or made anew, no change tells`,
    );
  const needsKey = there.indexes?.some((index) => index.primary) !== true && relation.identity === 'default';
  return doing(
    ...gone.map(({ name }) => `ALTER TABLE ${table} DROP COLUMN ${quoteIdentifier(name)}`),
    ...added.map(({ name, type }) => `ALTER TABLE ${table} ADD COLUMN ${quoteIdentifier(name)} ${type}`),
    ...(needsKey ? identity : []),
  );
}

/** The default identity is the primary key; of another one only the columns are known. */
function identityOf(relation: Relation): string[] {
  const table = quoteRelation(relation);
  const keys = relation.columns.filter((column) => column.isKey).map(({ name }) => quoteIdentifier(name));
  switch (relation.identity) {
    case 'full':
      return [`ALTER TABLE ${table} REPLICA IDENTITY FULL`];
    case 'nothing':
      return [`ALTER TABLE ${table} REPLICA IDENTITY NOTHING`];
    case 'default':
      return keys.length === 0 ? [] : [`ALTER TABLE ${table} ADD PRIMARY KEY (${keys.join(', ')})`];
    case 'index':
      return [
        ...keys.map((key) => `ALTER TABLE ${table} ALTER COLUMN ${key} SET NOT NULL`),
        `ALTER TABLE ${table} ADD UNIQUE (${keys.join(', ')})`,
      ];
  }
}
