import { quoteIdentifier, quoteLiteral, quoteRelation } from '../../model/identifiers.ts';
import { NOTHING, allOf, cannot, differences, doing } from './change-plan.ts';
import type { ChangePlan } from './change-plan.ts';
import type { ColumnDescription, RelationDescription } from '../../archive/schema-message.ts';
import { columnDefinition, identityClause, kindWord, sequenceOptions } from './plan-creation.ts';

interface Altered {
  readonly relation: string;
  /** `ALTER TABLE` and its name. */
  readonly alter: string;
}

/**
 * From the columns that are there to those that are wanted. A dropped column has been told before, in a message of its
 * own, so one that is too many and one that is missing are the same under another name, where `renamed` says so.
 */
export function planColumns(
  wanted: RelationDescription,
  there: RelationDescription,
  told: { readonly renamed: boolean },
): ChangePlan {
  const table: Altered = {
    relation: quoteRelation(wanted),
    alter: `ALTER ${kindWord(wanted) ?? 'TABLE'} ${quoteRelation(wanted)}`,
  };
  const { missing, extra, both } = differences(wanted.columns, there.columns);
  const [to, from] = [missing[0], extra[0]];
  if (told.renamed && to !== undefined && from !== undefined && missing.length + extra.length === 2)
    return allOf([
      doing(`${table.alter} RENAME COLUMN ${quoteIdentifier(from.name)} TO ${quoteIdentifier(to.name)}`),
      ...[...both, [to, { ...from, name: to.name }] as const].map(([one, other]) =>
        alterColumn(table, one, other),
      ),
    ]);
  if (wanted.kind === 'v' || wanted.kind === 'm') return NOTHING;
  if (extra.length > 0)
    return cannot(`has columns whose end was not told: ${extra.map(({ name }) => name).join(', ')}`);
  return allOf([
    ...missing.map((column) => addColumn(table, column)),
    ...both.map(([one, other]) => alterColumn(table, one, other)),
  ]);
}

/** Rows that are there get what the source's rows got, also from a default like now(). */
function addColumn(table: Altered, column: ColumnDescription): ChangePlan {
  const name = quoteIdentifier(column.name);
  const isPlain = column.generated === undefined && column.identity === undefined;
  if (!isPlain || column.default === undefined)
    return allOf([doing(`${table.alter} ADD COLUMN ${columnDefinition(column)}`), extras(table, column)]);
  const value =
    column.missing === undefined ? undefined : `${quoteLiteral(column.missing).trimStart()}::${column.type}`;
  const bare: ColumnDescription = {
    ...column,
    default: undefined,
    notNull: column.notNull && value !== undefined,
  };
  return allOf([
    doing(
      `${table.alter} ADD COLUMN ${columnDefinition(bare, value)}`,
      `${table.alter} ALTER COLUMN ${name} SET DEFAULT ${column.default}`,
    ),
    column.notNull && value === undefined
      ? doing(`${table.alter} ALTER COLUMN ${name} SET NOT NULL`)
      : NOTHING,
    extras(table, column),
  ]);
}

/** What CREATE TABLE and ADD COLUMN don't say of a column. */
function extras(table: Altered, column: ColumnDescription): ChangePlan {
  return alterColumn(table, column, { ...column, storage: undefined, comment: undefined });
}

function alterColumn(table: Altered, wanted: ColumnDescription, there: ColumnDescription): ChangePlan {
  const alter = `${table.alter} ALTER COLUMN ${quoteIdentifier(wanted.name)}`;
  const statements: string[] = [];
  const retyped = wanted.type !== there.type || wanted.collation !== there.collation;
  if (retyped) {
    // Without a rewrite, or its message would have come before this one.
    const collation = wanted.collation === undefined ? '' : ` COLLATE ${wanted.collation}`;
    statements.push(`${alter} TYPE ${wanted.type}${collation}`);
  }
  if (there.identity !== undefined && wanted.identity === undefined)
    statements.push(`${alter} DROP IDENTITY`);
  if (wanted.generated !== there.generated) {
    if (wanted.generated !== undefined) return cannot(`column ${wanted.name} has become a generated one`);
    statements.push(`${alter} DROP EXPRESSION`);
  }
  if (
    wanted.generated === undefined &&
    (wanted.default !== there.default || (retyped && wanted.default !== undefined))
  )
    statements.push(
      wanted.default === undefined ? `${alter} DROP DEFAULT` : `${alter} SET DEFAULT ${wanted.default}`,
    );
  if (wanted.generated === 'v' && there.generated === 'v' && wanted.default !== there.default)
    statements.push(`${alter} SET EXPRESSION AS (${wanted.default ?? 'NULL'})`);
  if (wanted.notNull && !there.notNull) statements.push(`${alter} SET NOT NULL`);
  if (!wanted.notNull && there.notNull) statements.push(`${alter} DROP NOT NULL`);
  statements.push(...alterIdentity(alter, wanted, there));
  if (wanted.storage !== there.storage)
    statements.push(`${alter} SET STORAGE ${STORAGE[wanted.storage ?? ''] ?? 'DEFAULT'}`);
  if (wanted.comment !== there.comment) {
    const text = wanted.comment === undefined ? 'NULL' : quoteLiteral(wanted.comment);
    statements.push(`COMMENT ON COLUMN ${table.relation}.${quoteIdentifier(wanted.name)} IS ${text}`);
  }
  return doing(...statements);
}

function alterIdentity(alter: string, wanted: ColumnDescription, there: ColumnDescription): string[] {
  if (wanted.identity === undefined) return [];
  if (there.identity === undefined) return [`${alter} ADD ${identityClause(wanted)}`];
  const statements: string[] = [];
  if (there.identity !== wanted.identity)
    statements.push(`${alter} SET GENERATED ${wanted.identity === 'a' ? 'ALWAYS' : 'BY DEFAULT'}`);
  const [one, other] = [wanted.identitySequence, there.identitySequence];
  if (one !== undefined && other !== undefined && sequenceOptions(one) !== sequenceOptions(other))
    statements.push(`ALTER SEQUENCE ${other.name} AS ${one.type}${sequenceOptions(one)}`);
  return statements;
}

const STORAGE: Readonly<Record<string, string>> = { p: 'PLAIN', e: 'EXTERNAL', m: 'MAIN', x: 'EXTENDED' };
