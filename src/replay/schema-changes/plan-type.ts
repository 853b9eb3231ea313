import { quoteIdentifier, quoteLiteral, quoteRelation } from '../../model/identifiers.ts';
import { NOTHING, allOf, cannot, differences, doing } from './change-plan.ts';
import type { ChangePlan, Owners } from './change-plan.ts';
import type { TypeDescription } from '../../archive/schema-message.ts';

const literal = (text: string): string => quoteLiteral(text).trimStart();

/** Makes a type that the target does not have. */
export function planTypeCreation(wanted: TypeDescription): ChangePlan {
  const name = quoteRelation(wanted);
  switch (wanted.kind) {
    case 'e':
      return doing(`CREATE TYPE ${name} AS ENUM (${(wanted.labels ?? []).map(literal).join(', ')})`);
    case 'c':
      return doing(`CREATE TYPE ${name} AS (${(wanted.attributes ?? []).map(attribute).join(', ')})`);
    case 'd': {
      const collation = wanted.collation === undefined ? '' : ` COLLATE ${wanted.collation}`;
      return doing(`CREATE DOMAIN ${name} AS ${wanted.base ?? ''}${collation}`);
    }
    default:
      return cannot(`types of kind ${wanted.kind} are not made by a replay`);
  }
}

/** From a type as it is to one as it was described, of the same kind; its name first. */
export function planType(
  wanted: TypeDescription,
  there: TypeDescription,
  told: { readonly renamed: boolean; readonly owners: Owners },
): ChangePlan {
  const word = wanted.kind === 'd' ? 'DOMAIN' : 'TYPE';
  const name = quoteRelation(wanted);
  const moved = quoteRelation({ schema: wanted.schema, name: there.name });
  return allOf([
    there.schema === wanted.schema
      ? NOTHING
      : doing(`ALTER ${word} ${quoteRelation(there)} SET SCHEMA ${quoteIdentifier(wanted.schema)}`),
    there.name === wanted.name
      ? NOTHING
      : doing(`ALTER ${word} ${moved} RENAME TO ${quoteIdentifier(wanted.name)}`),
    planLabels(name, wanted.labels ?? [], there.labels ?? []),
    wanted.kind === 'd' ? planDomain(name, wanted, there) : NOTHING,
    wanted.kind === 'c' ? planAttributes(name, { wanted, there, renamed: told.renamed }) : NOTHING,
    told.owners(wanted.owner) && wanted.owner !== there.owner
      ? doing(`ALTER ${word} ${name} OWNER TO ${quoteIdentifier(wanted.owner)}`)
      : NOTHING,
  ]);
}

/** One command adds a label or gives one another name; none takes one away. */
function planLabels(name: string, wanted: readonly string[], there: readonly string[]): ChangePlan {
  if (wanted.length === there.length)
    return doing(
      ...wanted.flatMap((label, place) =>
        label === there[place]
          ? []
          : [`ALTER TYPE ${name} RENAME VALUE ${literal(there[place] ?? '')} TO ${literal(label)}`],
      ),
    );
  if (!there.every((label) => wanted.includes(label))) return cannot('labels are gone');
  return doing(
    ...wanted.flatMap((label, place) => {
      if (there.includes(label)) return [];
      const before = wanted[place - 1];
      const where = before === undefined ? ` BEFORE ${literal(there[0] ?? '')}` : ` AFTER ${literal(before)}`;
      return [`ALTER TYPE ${name} ADD VALUE ${literal(label)}${there.length === 0 ? '' : where}`];
    }),
  );
}

function planDomain(name: string, wanted: TypeDescription, there: TypeDescription): ChangePlan {
  const { missing, extra, both } = differences(wanted.constraints, there.constraints);
  const alter = `ALTER DOMAIN ${name}`;
  const renamed =
    missing.length === 1 && extra.length === 1 && missing[0]?.definition === extra[0]?.definition;
  const [to, from] = [missing[0], extra[0]];
  const constraints =
    renamed && to !== undefined && from !== undefined
      ? [`${alter} RENAME CONSTRAINT ${quoteIdentifier(from.name)} TO ${quoteIdentifier(to.name)}`]
      : [
          ...extra.map((one) => `${alter} DROP CONSTRAINT ${quoteIdentifier(one.name)}`),
          ...missing.map((one) => `${alter} ADD CONSTRAINT ${quoteIdentifier(one.name)} ${one.definition}`),
        ];
  return doing(
    ...(wanted.default === there.default
      ? []
      : [wanted.default === undefined ? `${alter} DROP DEFAULT` : `${alter} SET DEFAULT ${wanted.default}`]),
    ...(wanted.notNull === there.notNull
      ? []
      : [`${alter} ${wanted.notNull === true ? 'SET' : 'DROP'} NOT NULL`]),
    ...constraints,
    ...both
      .filter(([one, other]) => one.validated === true && other.validated === false)
      .map(([one]) => `${alter} VALIDATE CONSTRAINT ${quoteIdentifier(one.name)}`),
  );
}

function planAttributes(
  name: string,
  {
    wanted,
    there,
    renamed,
  }: { readonly wanted: TypeDescription; readonly there: TypeDescription; readonly renamed: boolean },
): ChangePlan {
  const { missing, extra, both } = differences(wanted.attributes, there.attributes);
  const [to, from] = [missing[0], extra[0]];
  if (renamed && to !== undefined && from !== undefined && missing.length + extra.length === 2)
    return doing(
      `ALTER TYPE ${name} RENAME ATTRIBUTE ${quoteIdentifier(from.name)} TO ${quoteIdentifier(to.name)} CASCADE`,
    );
  return doing(
    ...extra.map((one) => `ALTER TYPE ${name} DROP ATTRIBUTE ${quoteIdentifier(one.name)} CASCADE`),
    ...missing.map((one) => `ALTER TYPE ${name} ADD ATTRIBUTE ${attribute(one)} CASCADE`),
    ...both
      .filter(([one, other]) => one.type !== other.type)
      .map(
        ([one]) => `ALTER TYPE ${name} ALTER ATTRIBUTE ${quoteIdentifier(one.name)} TYPE ${one.type} CASCADE`,
      ),
  );
}

function attribute({ name, type, collation }: NonNullable<TypeDescription['attributes']>[number]): string {
  return `${quoteIdentifier(name)} ${type}${collation === undefined ? '' : ` COLLATE ${collation}`}`;
}
