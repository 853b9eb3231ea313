import { displayRelation, quoteIdentifier, quoteRelation } from '../../model/identifiers.ts';
import { cannot, doing } from './change-plan.ts';
import type { ChangePlan, Owners } from './change-plan.ts';
import type {
  ChangedObject,
  RelationDescription,
  SchemaMessage,
  TypeDescription,
} from '../../archive/schema-message.ts';
import { planCreation } from './plan-creation.ts';
import { planComment, planOther } from './plan-object.ts';
import { planName, planRelation } from './plan-relation.ts';
import { planType, planTypeCreation } from './plan-type.ts';
import type { TargetCatalog } from './target-catalog.ts';

type DdlMessage = Extract<SchemaMessage, { kind: 'ddl' }>;

/** Something that is looked at and brought to its description; later ones see what earlier ones have done. */
export interface Step {
  plan(): Promise<ChangePlan>;
}

interface Context {
  readonly catalog: TargetCatalog;
  /** Whether things belong to whom they belonged to. */
  readonly owners: Owners;
  readonly isWanted: (relation: RelationDescription) => boolean;
  /** Only tables come back, so what they don't need is left alone where it is not there. */
  readonly isPart: boolean;
}

/** Parts of a relation: its description tells of them. */
const TOLD_BY_RELATION: ReadonlySet<string> = new Set([
  'table',
  'view',
  'materialized view',
  'index',
  'sequence',
  'table column',
  'view column',
  'materialized view column',
  'trigger',
  'policy',
  'rule',
  'table constraint',
  'default value',
]);

/** Changes nothing that a restore brings back. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'REINDEX',
  'REFRESH MATERIALIZED VIEW',
  'SECURITY LABEL',
]);

const ORDER = ['S', 'r', 'p', 'v', 'm'];

/** Our own, which the set-up and the event triggers change. */
function isOurs({ schema, identity = '', type, inExtension }: ChangedObject): boolean {
  return (
    inExtension === true ||
    schema === 'tidemark' ||
    (type === 'schema' && identity === 'tidemark') ||
    (type.startsWith('publication') && /(?:^|in publication )tidemark_/.test(identity))
  );
}

/**
 * What a command that made or altered things asks for: schemas and types, then relations, all of which are made before
 * the first gets what refers to others, then the rest. `problems` are those of the message as a whole.
 */
export function stepsOf(
  message: DdlMessage,
  context: Context,
): { readonly steps: readonly Step[]; readonly problems: readonly string[] } {
  if (WITHOUT_EFFECT.has(message.tag)) return { steps: [], problems: [] };
  const objects = message.objects.filter((object) => !isOurs(object));
  const relations = message.relations
    .filter((relation) => relation.schema !== 'tidemark' && relation.kind !== 'c')
    .filter((relation) => context.isWanted(relation))
    .sort((one, other) => ORDER.indexOf(one.kind) - ORDER.indexOf(other.kind));
  const detailed = objects.filter((object) => object.details !== undefined);
  const early = (object: ChangedObject): boolean =>
    ['schema', 'extension', 'e', 'd', 'c'].includes(object.details?.kind ?? '');
  const problems = objects
    .filter((object) => object.details === undefined && message.tag !== 'COMMENT')
    .filter((object) => !TOLD_BY_RELATION.has(object.type))
    .map(({ command, type, identity }) =>
      identity === undefined
        ? `${command} (${type.toLowerCase()}): on what is not recorded`
        : `${type} ${identity}`,
    );
  const comments = message.tag === 'COMMENT' && !context.isPart ? objects : [];
  return {
    problems,
    steps: [
      ...detailed.filter(early).flatMap((object) => [objectStep(object, context), noteStep(object, context)]),
      ...relations.map((relation) => creationStep(relation, context)),
      ...relations.map((relation) => relationStep(relation, objects, context)),
      ...detailed
        .filter((object) => !early(object))
        .flatMap((object) => [objectStep(object, context), noteStep(object, context)]),
      ...comments.map((object) => ({ plan: () => Promise.resolve(planComment(object)) })),
    ],
  };
}

function creationStep(wanted: RelationDescription, { catalog }: Context): Step {
  return {
    plan: async () => {
      const there = await catalog.relation(wanted);
      if (there === undefined) return planCreation(wanted);
      const isSameKind = there.kind === wanted.kind;
      return isSameKind
        ? planName(wanted, there)
        : cannot(`${displayRelation(wanted)} is of another kind here`);
    },
  };
}

function relationStep(
  wanted: RelationDescription,
  objects: readonly ChangedObject[],
  { catalog, owners }: Context,
): Step {
  const renamed = objects.some((object) => object.isColumn === true && object.oid === wanted.oid);
  return {
    plan: async () => {
      await catalog.note([{ catalog: 'pg_class', oid: wanted.oid, name: quoteRelation(wanted) }]);
      const there = await catalog.relation(wanted);
      return there === undefined ? doing() : planRelation(wanted, there, { renamed, owners });
    },
  };
}

function objectStep({ details, isColumn }: ChangedObject, context: Context): Step {
  const { catalog, owners, isPart } = context;
  return {
    plan: async () => {
      if (details === undefined) return doing();
      if (isType(details)) {
        const there = await catalog.type(details);
        const made = there ?? { ...details, owner: '', constraints: [], notNull: false, default: undefined };
        const creation = there === undefined ? planTypeCreation(details) : doing();
        if (creation.problems.length > 0) return creation;
        const rest = planType(details, made, { renamed: isColumn === true, owners });
        return { statements: [...creation.statements, ...rest.statements], problems: rest.problems };
      }
      const there = await catalog.other(details);
      return isPart && there === undefined && details.kind !== 'schema'
        ? doing()
        : planOther(details, { there, owners });
    },
  };
}

/** By its OID from now on, whatever it will be called. */
function noteStep({ details }: ChangedObject, { catalog }: Context): Step {
  return {
    plan: async () => {
      if (details?.oid === undefined) return doing();
      const { oid } = details;
      if (isType(details)) await catalog.note([{ catalog: 'pg_type', oid, name: quoteRelation(details) }]);
      else if (details.kind === 'schema')
        await catalog.note([{ catalog: 'pg_namespace', oid, name: quoteIdentifier(details.name) }]);
      else if (details.kind === 'function' && details.signature !== undefined)
        await catalog.note([{ catalog: 'pg_proc', oid, name: details.signature }]);
      return doing();
    },
  };
}

function isType(details: NonNullable<ChangedObject['details']>): details is TypeDescription {
  return details.kind.length === 1;
}
