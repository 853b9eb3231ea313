import { quoteIdentifier, quoteLiteral, quoteRelation } from '../../model/identifiers.ts';
import { cannot, doing } from './change-plan.ts';
import type { ChangePlan } from './change-plan.ts';
import type {
  ColumnDescription,
  RelationDescription,
  SequenceOptions,
} from '../../archive/schema-message.ts';

/** PostgreSQL's words for the kinds of relations that are made and altered here. */
const KIND_WORDS: Readonly<Record<string, string>> = {
  r: 'TABLE',
  p: 'TABLE',
  v: 'VIEW',
  m: 'MATERIALIZED VIEW',
  S: 'SEQUENCE',
};

/** Undefined: not a kind that is replayed. */
export function kindWord({ kind }: Pick<RelationDescription, 'kind'>): string | undefined {
  return KIND_WORDS[kind];
}

/**
 * Makes a relation that the target does not have, with its columns; constraints, indexes and what else stands on it is
 * for `planRelation`, when it is there. What refers to it is made in a later command of the source, so it is no matter.
 */
export function planCreation(wanted: RelationDescription): ChangePlan {
  switch (wanted.kind) {
    case 'r':
    case 'p':
      return createTable(wanted);
    case 'v':
      return doing(createView(wanted));
    case 'm':
      // Its rows come when all else is there.
      return doing(
        `CREATE MATERIALIZED VIEW ${quoteRelation(wanted)}${storageOptions(wanted)} AS ${body(wanted)} WITH NO DATA`,
      );
    case 'S':
      if (wanted.ownedBy?.isIdentity === true) return doing();
      if (wanted.sequence === undefined)
        return cannot(`sequence ${wanted.name}: its numbers are not recorded`);
      return doing(
        `CREATE ${wanted.persistence === 'u' ? 'UNLOGGED ' : ''}SEQUENCE ${quoteRelation(wanted)} AS ${wanted.sequence.type}${sequenceOptions(wanted.sequence)}`,
      );
    default:
      return cannot(`relations of kind ${wanted.kind} are not made by a replay`);
  }
}

export function createView(wanted: RelationDescription): string {
  return `CREATE OR REPLACE VIEW ${quoteRelation(wanted)}${storageOptions(wanted)} AS ${body(wanted)}`;
}

export function sequenceOptions({ start, increment, max, min, cache, cycle }: SequenceOptions): string {
  return ` INCREMENT BY ${increment} MINVALUE ${min} MAXVALUE ${max} START WITH ${start} CACHE ${cache}${cycle ? '' : ' NO'} CYCLE`;
}

export function identityClause({ identity, identitySequence }: ColumnDescription): string {
  const how = identity === 'a' ? 'ALWAYS' : 'BY DEFAULT';
  const options =
    identitySequence === undefined
      ? ''
      : ` (SEQUENCE NAME ${identitySequence.name}${sequenceOptions(identitySequence)})`;
  return `GENERATED ${how} AS IDENTITY${options}`;
}

/** A column as CREATE TABLE and ADD COLUMN take it; `value` stands for its default. */
export function columnDefinition(column: ColumnDescription, value = column.default): string {
  const parts = [quoteIdentifier(column.name), column.type];
  if (column.collation !== undefined) parts.push(`COLLATE ${column.collation}`);
  if (column.generated !== undefined)
    parts.push(
      `GENERATED ALWAYS AS (${column.default ?? 'NULL'}) ${column.generated === 'v' ? 'VIRTUAL' : 'STORED'}`,
    );
  else if (column.identity !== undefined) parts.push(identityClause(column));
  else if (value !== undefined) parts.push(`DEFAULT ${value}`);
  if (column.notNull) parts.push('NOT NULL');
  return parts.join(' ');
}

/** `WITH (…)` for options as the catalog keeps them: `name=value`. */
export function optionList(options: readonly string[]): string {
  return options
    .map((option) => {
      const at = option.indexOf('=');
      return `${quoteIdentifier(option.slice(0, at))} = ${quoteLiteral(option.slice(at + 1)).trimStart()}`;
    })
    .join(', ');
}

function createTable(wanted: RelationDescription): ChangePlan {
  if (wanted.ofType !== undefined) return cannot('typed tables are not made by a replay');
  const { parents = [], partitionBound, partitionKey } = wanted;
  const head = `CREATE ${wanted.persistence === 'u' ? 'UNLOGGED ' : ''}TABLE ${quoteRelation(wanted)}`;
  const by = partitionKey === undefined ? '' : ` PARTITION BY ${partitionKey}`;
  const [parent] = parents;
  if (partitionBound !== undefined && parent !== undefined)
    return doing(`${head} PARTITION OF ${parent} ${partitionBound}${by}${storageOptions(wanted)}`);
  const columns = (wanted.columns ?? []).filter((column) => column.notLocal !== true);
  const inherits = parents.length === 0 ? '' : ` INHERITS (${parents.join(', ')})`;
  return doing(
    `${head} (${columns.map((column) => columnDefinition(column)).join(', ')})${inherits}${by}${storageOptions(wanted)}`,
  );
}

function storageOptions({ options = [] }: RelationDescription): string {
  return options.length === 0 ? '' : ` WITH (${optionList(options)})`;
}

/** PostgreSQL prints a view's query with its semicolon. */
function body({ definition = '' }: RelationDescription): string {
  return definition.trim().replace(/;$/, '');
}
