import { quoteIdentifier, quoteLiteral, quoteRelation } from '../../model/identifiers.ts';
import { NOTHING, allOf, differences, doing } from './change-plan.ts';
import type { ChangePlan, Owners } from './change-plan.ts';
import type { RelationDescription } from '../../archive/schema-message.ts';
import { planColumns } from './plan-columns.ts';
import { planConstraints, planIndexes } from './plan-constraints.ts';
import { createView, kindWord, optionList, sequenceOptions } from './plan-creation.ts';
import { planPolicies, planRules, planTriggers } from './plan-rules.ts';

/** What of a message, beside the description, says how it came about. */
export interface RelationContext {
  /** It tells of a column's or attribute's new name. */
  readonly renamed: boolean;
  readonly owners: Owners;
}

/** Gives a relation its name and schema: the first step, so that all others find it under the new one. */
export function planName(
  wanted: Pick<RelationDescription, 'schema' | 'name' | 'kind'>,
  there: Pick<RelationDescription, 'schema' | 'name'>,
): ChangePlan {
  const word = kindWord(wanted) ?? 'TABLE';
  const statements: string[] = [];
  if (there.schema !== wanted.schema)
    statements.push(`ALTER ${word} ${quoteRelation(there)} SET SCHEMA ${quoteIdentifier(wanted.schema)}`);
  if (there.name !== wanted.name) {
    const old = quoteRelation({ schema: wanted.schema, name: there.name });
    statements.push(`ALTER ${word} ${old} RENAME TO ${quoteIdentifier(wanted.name)}`);
  }
  return doing(...statements);
}

/**
 * From a relation as it is on the target to one as it was described on the source, of the same name and kind. By
 * descriptions alone: whatever command it was, and whatever the client had sent with it, is no matter (REPLICATION
 * I 29). Nothing to do when the two agree, so a description that comes twice does no harm.
 */
export function planRelation(
  wanted: RelationDescription,
  there: RelationDescription,
  context: RelationContext,
): ChangePlan {
  const alter = `ALTER ${kindWord(wanted) ?? 'TABLE'} ${quoteRelation(wanted)}`;
  if (wanted.kind === 'S')
    return allOf([planSequence(alter, wanted, there), planRest(alter, wanted, there, context)]);
  const isTable = wanted.kind === 'r' || wanted.kind === 'p';
  return allOf([
    planColumns(wanted, there, context),
    wanted.kind === 'v' && wanted.definition !== there.definition ? doing(createView(wanted)) : NOTHING,
    isTable ? planFamily(alter, wanted, there) : NOTHING,
    planConstraints(wanted, there),
    planIndexes(wanted, there),
    isTable ? planIdentity(alter, wanted, there) : NOTHING,
    planTriggers(wanted, there),
    planRules(wanted, there),
    planPolicies(wanted, there),
    planRest(alter, wanted, there, context),
  ]);
}

/** Which rows it holds is the source's to say: those of a partition are where they were. */
function planFamily(alter: string, wanted: RelationDescription, there: RelationDescription): ChangePlan {
  const statements: string[] = [];
  const named = (relation: RelationDescription): { readonly name: string; readonly bound: string }[] =>
    (relation.partitions ?? []).map(({ relation: name, bound = 'DEFAULT' }) => ({ name, bound }));
  const { missing, extra } = differences(named(wanted), named(there));
  for (const { name } of extra) statements.push(`${alter} DETACH PARTITION ${name}`);
  for (const { name, bound } of missing) statements.push(`${alter} ATTACH PARTITION ${name} ${bound}`);
  const [before, after] = [there.parents ?? [], wanted.parents ?? []];
  const [parent] = after;
  if (wanted.partitionBound !== undefined && there.partitionBound === undefined && parent !== undefined)
    statements.push(
      `ALTER TABLE ${parent} ATTACH PARTITION ${quoteRelation(wanted)} ${wanted.partitionBound}`,
    );
  if (wanted.partitionBound === undefined && there.partitionBound === undefined) {
    for (const one of before.filter((name) => !after.includes(name)))
      statements.push(`${alter} NO INHERIT ${one}`);
    for (const one of after.filter((name) => !before.includes(name)))
      statements.push(`${alter} INHERIT ${one}`);
  }
  if (wanted.partitionBound === undefined && there.partitionBound !== undefined && before[0] !== undefined)
    statements.push(`ALTER TABLE ${before[0]} DETACH PARTITION ${quoteRelation(wanted)}`);
  return doing(...statements);
}

function planIdentity(alter: string, wanted: RelationDescription, there: RelationDescription): ChangePlan {
  const chosen = (relation: RelationDescription): string | undefined =>
    relation.indexes?.find((index) => index.replicaIdentity)?.name;
  const isSame =
    wanted.replicaIdentity === there.replicaIdentity &&
    (wanted.replicaIdentity !== 'i' || chosen(wanted) === chosen(there));
  const words: Readonly<Record<string, string>> = { d: 'DEFAULT', n: 'NOTHING', f: 'FULL' };
  const index = chosen(wanted);
  const to = words[wanted.replicaIdentity] ?? (index && `USING INDEX ${quoteIdentifier(index)}`);
  return isSame || to === undefined ? NOTHING : doing(`${alter} REPLICA IDENTITY ${to}`);
}

function planSequence(alter: string, wanted: RelationDescription, there: RelationDescription): ChangePlan {
  const statements: string[] = [];
  const { sequence, ownedBy } = wanted;
  if (sequence !== undefined && JSON.stringify(sequence) !== JSON.stringify(there.sequence))
    statements.push(`${alter} AS ${sequence.type}${sequenceOptions(sequence)}`);
  const owner = (relation: RelationDescription): string => JSON.stringify(relation.ownedBy ?? null);
  if (owner(wanted) !== owner(there) && ownedBy?.isIdentity !== true && there.ownedBy?.isIdentity !== true)
    statements.push(
      `${alter} OWNED BY ${ownedBy === undefined ? 'NONE' : `${ownedBy.table}.${quoteIdentifier(ownedBy.column)}`}`,
    );
  return doing(...statements);
}

function planRest(
  alter: string,
  wanted: RelationDescription,
  there: RelationDescription,
  { owners }: RelationContext,
): ChangePlan {
  const statements: string[] = [];
  const nameOf = (option: string): string => option.slice(0, option.indexOf('='));
  const [options, before] = [wanted.options ?? [], there.options ?? []];
  const set = options.filter((option) => !before.includes(option));
  const reset = before.map(nameOf).filter((name) => !options.map(nameOf).includes(name));
  if (set.length > 0) statements.push(`${alter} SET (${optionList(set)})`);
  if (reset.length > 0) statements.push(`${alter} RESET (${reset.map(quoteIdentifier).join(', ')})`);
  // Of a table that is empty here: else its rewrite has ended the replay.
  if (wanted.persistence !== there.persistence)
    statements.push(`${alter} SET ${wanted.persistence === 'u' ? 'UNLOGGED' : 'LOGGED'}`);
  if (wanted.rowSecurity !== there.rowSecurity)
    statements.push(`${alter} ${wanted.rowSecurity ? 'ENABLE' : 'DISABLE'} ROW LEVEL SECURITY`);
  if (wanted.forceRowSecurity !== there.forceRowSecurity)
    statements.push(`${alter} ${wanted.forceRowSecurity ? '' : 'NO '}FORCE ROW LEVEL SECURITY`);
  if (wanted.comment !== there.comment) {
    const text = wanted.comment === undefined ? 'NULL' : quoteLiteral(wanted.comment);
    statements.push(`${alter.replace(/^ALTER /, 'COMMENT ON ')} IS ${text}`);
  }
  const isOwned = wanted.ownedBy !== undefined;
  if (owners(wanted.owner) && !isOwned && wanted.owner !== there.owner)
    statements.push(`${alter} OWNER TO ${quoteIdentifier(wanted.owner)}`);
  return doing(...statements);
}
