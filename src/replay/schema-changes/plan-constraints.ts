import { quoteIdentifier, quoteRelation } from '../../model/identifiers.ts';
import { NOTHING, allOf, differences, doing } from './change-plan.ts';
import type { ChangePlan } from './change-plan.ts';
import type {
  ConstraintDescription,
  IndexDescription,
  RelationDescription,
} from '../../archive/schema-message.ts';

/** NOT NULL: said of the column. Majors before 18 have none of these. */
const NOT_NULL = 'n';
/** Keys before what needs them, within the table and between tables. */
const ORDER = ['p', 'u', 'x', 'c', 'f'];

/** One that is missing and one too many that says the same is the same under another name. */
export function planConstraints(wanted: RelationDescription, there: RelationDescription): ChangePlan {
  const table = `ALTER TABLE ${quoteRelation(wanted)}`;
  const { missing, extra, both } = differences(wanted.constraints, there.constraints);
  const renamed = pairs(missing, extra, (one) => `${one.type} ${one.definition}`);
  const dropped = extra.filter((one) => one.type !== NOT_NULL && one.inherited !== true && !renamed.has(one));
  const taken = new Set(renamed.values());
  const added = missing
    .filter((one) => one.type !== NOT_NULL && one.inherited !== true && !taken.has(one))
    .sort((one, other) => ORDER.indexOf(one.type) - ORDER.indexOf(other.type));
  return allOf([
    doing(...dropped.map(({ name }) => `${table} DROP CONSTRAINT ${quoteIdentifier(name)}`)),
    doing(
      ...[...renamed].map(
        ([one, to]) =>
          `${table} RENAME CONSTRAINT ${quoteIdentifier(one.name)} TO ${quoteIdentifier(to.name)}`,
      ),
    ),
    doing(
      ...added.map(
        (one) => `${table} ADD CONSTRAINT ${quoteIdentifier(one.name)} ${definitionOn(there, one)}`,
      ),
    ),
    ...both.map(([one, other]) => alterConstraint(table, one, other)),
  ]);
}

/** A key that has taken an index of its own name is made of the same index here. */
function definitionOn(there: RelationDescription, { name, type, definition }: ConstraintDescription): string {
  const isTaken = there.indexes?.some((index) => index.name === name && index.isConstraint !== true) === true;
  if (!isTaken || (type !== 'p' && type !== 'u')) return definition;
  const deferred = / (?:NOT )?DEFERRABLE.*$/.exec(definition)?.[0] ?? '';
  return `${type === 'p' ? 'PRIMARY KEY' : 'UNIQUE'} USING INDEX ${quoteIdentifier(name)}${deferred}`;
}

/** Those of constraints come and go with them, those of partitions with their parent's. */
export function planIndexes(wanted: RelationDescription, there: RelationDescription): ChangePlan {
  const own = (relation: RelationDescription): IndexDescription[] =>
    (relation.indexes ?? []).filter((index) => index.isConstraint !== true && index.inherited !== true);
  const { missing, extra, both } = differences(own(wanted), own(there));
  const changed = both.filter(([one, other]) => one.definition !== other.definition && !one.replicaIdentity);
  const isSame = (index: IndexDescription): string => withoutName(index);
  const renamed = pairs(missing, extra, isSame);
  const taken = new Set(renamed.values());
  // A key made of an index takes it along under the constraint's name.
  const asKeys = new Set(
    (wanted.indexes ?? []).filter((index) => index.isConstraint === true).map(({ name }) => name),
  );
  const schema = (name: string): string => quoteRelation({ schema: wanted.schema, name });
  return allOf([
    doing(
      ...extra
        .filter((index) => !renamed.has(index) && !asKeys.has(index.name))
        .map(({ name }) => `DROP INDEX ${schema(name)}`),
      ...[...renamed].map(
        ([index, to]) => `ALTER INDEX ${schema(index.name)} RENAME TO ${quoteIdentifier(to.name)}`,
      ),
      ...changed.flatMap(([index]) => [`DROP INDEX ${schema(index.name)}`, creation(index, wanted)]),
      // One that is not valid was left over by a failure, or waits for its partitions' indexes.
      ...missing
        .filter((index) => !taken.has(index) && (index.valid || wanted.kind === 'p'))
        .map((index) => creation(index, wanted)),
    ),
  ]);
}

function alterConstraint(
  table: string,
  wanted: ConstraintDescription,
  there: ConstraintDescription,
): ChangePlan {
  const name = quoteIdentifier(wanted.name);
  const statements: string[] = [];
  if (wanted.validated === true && there.validated === false)
    statements.push(`${table} VALIDATE CONSTRAINT ${name}`);
  const differs = wanted.deferrable !== there.deferrable || wanted.deferred !== there.deferred;
  if (wanted.type === 'f' && differs && wanted.deferrable !== undefined)
    statements.push(
      `${table} ALTER CONSTRAINT ${name} ${wanted.deferrable ? '' : 'NOT '}DEFERRABLE INITIALLY ${wanted.deferred === true ? 'DEFERRED' : 'IMMEDIATE'}`,
    );
  return statements.length === 0 ? NOTHING : doing(...statements);
}

/** A valid index of a partitioned table is one of all its partitions; PostgreSQL prints it as its own alone. */
function creation({ definition, name, valid }: IndexDescription, { kind }: RelationDescription): string {
  if (kind !== 'p' || !valid) return definition;
  const at = definition.indexOf(' ON ONLY ', definition.indexOf('INDEX ') + name.length);
  return at === -1
    ? definition
    : `${definition.slice(0, at)} ON ${definition.slice(at + ' ON ONLY '.length)}`;
}

function withoutName({ definition, name }: IndexDescription): string {
  const start = definition.indexOf('INDEX ');
  return definition.slice(0, start) + definition.slice(definition.indexOf(' ON ', start + name.length));
}

/** What is there, and what it is to become: where just one of each says the same. */
function pairs<T>(missing: readonly T[], extra: readonly T[], same: (one: T) => string): Map<T, T> {
  const found = new Map<T, T>();
  for (const one of extra) {
    const [to, ...more] = missing.filter((candidate) => same(candidate) === same(one));
    const alike = extra.filter((candidate) => same(candidate) === same(one));
    if (to !== undefined && more.length === 0 && alike.length === 1) found.set(one, to);
  }
  return found;
}
