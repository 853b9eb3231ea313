import { quoteIdentifier, quoteRelation } from '../../model/identifiers.ts';
import { differences, doing } from './change-plan.ts';
import type { ChangePlan } from './change-plan.ts';
import type { PolicyDescription, RelationDescription } from '../../archive/schema-message.ts';

/** Things without content of their own: one that differs, in its name too, is dropped and made again. */
function again<T extends { readonly name: string }>(
  wanted: readonly T[] | undefined,
  there: readonly T[] | undefined,
  how: {
    readonly drop: (one: T) => string;
    readonly create: (one: T) => readonly string[];
    readonly same: (one: T, other: T) => boolean;
  },
): ChangePlan {
  const { missing, extra, both } = differences(wanted, there);
  const changed = both.filter(([one, other]) => !how.same(one, other));
  return doing(
    ...[...extra, ...changed.map(([, other]) => other)].map((one) => how.drop(one)),
    ...[...missing, ...changed.map(([one]) => one)].flatMap((one) => how.create(one)),
  );
}

const FIRES: Readonly<Record<string, string>> = {
  D: 'DISABLE',
  R: 'ENABLE REPLICA',
  A: 'ENABLE ALWAYS',
  O: 'ENABLE',
};

/** Those that a partition has from its parent come with it. */
export function planTriggers(wanted: RelationDescription, there: RelationDescription): ChangePlan {
  const table = quoteRelation(wanted);
  const own = (relation: RelationDescription): NonNullable<RelationDescription['triggers']> =>
    (relation.triggers ?? []).filter((trigger) => trigger.inherited !== true);
  return again(own(wanted), own(there), {
    drop: ({ name }) => `DROP TRIGGER ${quoteIdentifier(name)} ON ${table}`,
    create: ({ name, definition, enabled }) => [
      definition,
      ...(enabled === 'O'
        ? []
        : [`ALTER TABLE ${table} ${FIRES[enabled] ?? 'ENABLE'} TRIGGER ${quoteIdentifier(name)}`]),
    ],
    same: (one, other) => one.definition === other.definition && one.enabled === other.enabled,
  });
}

export function planRules(wanted: RelationDescription, there: RelationDescription): ChangePlan {
  const table = quoteRelation(wanted);
  return again(wanted.rules, there.rules, {
    drop: ({ name }) => `DROP RULE ${quoteIdentifier(name)} ON ${table}`,
    create: ({ definition }) => [definition],
    same: (one, other) => one.definition === other.definition,
  });
}

const COMMANDS: Readonly<Record<string, string>> = {
  r: 'SELECT',
  a: 'INSERT',
  w: 'UPDATE',
  d: 'DELETE',
  '*': 'ALL',
};

export function planPolicies(wanted: RelationDescription, there: RelationDescription): ChangePlan {
  const table = quoteRelation(wanted);
  return again(wanted.policies, there.policies, {
    drop: ({ name }) => `DROP POLICY ${quoteIdentifier(name)} ON ${table}`,
    create: (policy) => [createPolicy(table, policy)],
    same: (one, other) => JSON.stringify(one) === JSON.stringify(other),
  });
}

function createPolicy(table: string, policy: PolicyDescription): string {
  const roles = policy.roles.map((role) => (role === 'PUBLIC' ? role : quoteIdentifier(role))).join(', ');
  const using = policy.using === undefined ? '' : ` USING (${policy.using})`;
  const check = policy.check === undefined ? '' : ` WITH CHECK (${policy.check})`;
  return `CREATE POLICY ${quoteIdentifier(policy.name)} ON ${table} AS ${policy.permissive ? 'PERMISSIVE' : 'RESTRICTIVE'} FOR ${COMMANDS[policy.command] ?? 'ALL'} TO ${roles}${using}${check}`;
}
