import { quoteIdentifier, quoteRelation } from '../../model/identifiers.ts';
import type { RelationName } from '../../model/identifiers.ts';
import { allOf, cannot, doing, NOTHING } from './change-plan.ts';
import type { ChangePlan } from './change-plan.ts';
import type { DroppedObject } from '../../archive/schema-message.ts';

/** PostgreSQL's names of what is dropped by its identity, and DROP's word for each. */
const WORDS: Readonly<Record<string, string>> = {
  table: 'TABLE',
  view: 'VIEW',
  'materialized view': 'MATERIALIZED VIEW',
  'foreign table': 'FOREIGN TABLE',
  index: 'INDEX',
  sequence: 'SEQUENCE',
  schema: 'SCHEMA',
  type: 'TYPE',
  domain: 'DOMAIN',
  function: 'FUNCTION',
  procedure: 'PROCEDURE',
  aggregate: 'AGGREGATE',
  extension: 'EXTENSION',
  'statistics object': 'STATISTICS',
  collation: 'COLLATION',
};
/** Their identity says of which table they are: `name on schema.table`. */
const ON_TABLE: Readonly<Record<string, string>> = { trigger: 'TRIGGER', policy: 'POLICY', rule: 'RULE' };
/** What a description tells, or what goes with something else. */
const TOLD_OTHERWISE: ReadonlySet<string> = new Set([
  'default value',
  'domain constraint',
  'composite type column',
  'type attribute',
  'default acl',
  'publication relation',
  'publication namespace',
]);

/** A column or constraint that was dropped, by its table. */
export interface DroppedPart extends RelationName {
  readonly kind: 'column' | 'constraint';
  readonly part: string;
}

/** Undefined for what is no part of a table. */
export function droppedPart({ type, names = [] }: DroppedObject): DroppedPart | undefined {
  const kind = type === 'table column' ? 'column' : type === 'table constraint' ? 'constraint' : undefined;
  const [schema, name, part] = names;
  if (kind === undefined || schema === undefined || name === undefined || part === undefined)
    return undefined;
  return { kind, schema, name, part };
}

/** The table that a column, constraint, trigger, policy or rule belonged to; undefined for anything else. */
export function tableOf(object: DroppedObject): RelationName | undefined {
  const part = droppedPart(object);
  if (part !== undefined) return part;
  const [schema, name] = object.names ?? [];
  return object.type in ON_TABLE && schema !== undefined && name !== undefined ? { schema, name } : undefined;
}

/**
 * Drops what the command named; what went with it goes with it here too. Parts that a table has from a parent are
 * `inherited`: they go with the parent's.
 */
export function planDrop(
  objects: readonly DroppedObject[],
  facts: { readonly tag: string; readonly isInherited: (part: DroppedPart) => boolean },
): ChangePlan {
  const cascade = objects.some((object) => !object.original) ? ' CASCADE' : '';
  const named = objects.filter((object) => object.original);
  return allOf(named.map((object) => dropOne(object, { ...facts, cascade })));
}

function dropOne(
  object: DroppedObject,
  { tag, cascade, isInherited }: Parameters<typeof planDrop>[1] & { readonly cascade: string },
): ChangePlan {
  const { type, identity } = object;
  const part = droppedPart(object);
  if (part !== undefined) {
    const word = part.kind === 'column' ? 'COLUMN' : 'CONSTRAINT';
    return isInherited(part)
      ? NOTHING
      : doing(
          `ALTER TABLE IF EXISTS ${quoteRelation(part)} DROP ${word} IF EXISTS ${quoteIdentifier(part.part)}${cascade}`,
        );
  }
  // The sequence of a column that is no identity any more.
  if (TOLD_OTHERWISE.has(type) || (type === 'sequence' && tag === 'ALTER TABLE')) return NOTHING;
  const word = WORDS[type] ?? ON_TABLE[type];
  return word === undefined
    ? cannot(`${type} ${identity} is not dropped by a replay`)
    : doing(`DROP ${word} IF EXISTS ${identity}${cascade}`);
}
