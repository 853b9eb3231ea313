import { quoteIdentifier, quoteLiteral, quoteRelation } from '../../model/identifiers.ts';
import { cannot, doing } from './change-plan.ts';
import type { ChangePlan, Owners } from './change-plan.ts';
import type { ChangedObject, OtherDescription } from '../../archive/schema-message.ts';

/** What is neither relation nor type; `there`: what the target has of it, perhaps under another name. */
export function planOther(
  wanted: OtherDescription,
  { there, owners }: { readonly there: OtherDescription | undefined; readonly owners: Owners },
): ChangePlan {
  const { owner } = wanted;
  const isGiven = owner !== undefined && owner !== there?.owner && owners(owner);
  switch (wanted.kind) {
    case 'schema': {
      const name = quoteIdentifier(wanted.name);
      return doing(
        ...(there === undefined ? [`CREATE SCHEMA ${name}`] : []),
        ...(there === undefined || there.name === wanted.name
          ? []
          : [`ALTER SCHEMA ${quoteIdentifier(there.name)} RENAME TO ${name}`]),
        ...(isGiven ? [`ALTER SCHEMA ${name} OWNER TO ${quoteIdentifier(owner)}`] : []),
      );
    }
    case 'function': {
      const { signature = '', definition = '', schema = '' } = wanted;
      const moved = `${quoteRelation({ schema, name: there?.name ?? '' })}${there?.signature?.slice(there.signature.lastIndexOf('(')) ?? ''}`;
      return doing(
        ...(there === undefined || there.schema === schema
          ? []
          : [`ALTER ROUTINE ${there.signature} SET SCHEMA ${quoteIdentifier(schema)}`]),
        ...(there === undefined || there.name === wanted.name
          ? []
          : [`ALTER ROUTINE ${moved} RENAME TO ${quoteIdentifier(wanted.name)}`]),
        ...(there?.definition === definition ? [] : [definition]),
        ...(isGiven ? [`ALTER ROUTINE ${signature} OWNER TO ${quoteIdentifier(owner)}`] : []),
      );
    }
    case 'extension': {
      const where = wanted.schema === undefined ? '' : ` WITH SCHEMA ${quoteIdentifier(wanted.schema)}`;
      return doing(`CREATE EXTENSION IF NOT EXISTS ${quoteIdentifier(wanted.name)}${where}`);
    }
    case 'statistics': {
      const name = quoteRelation({ schema: wanted.schema ?? '', name: wanted.name });
      return doing(`DROP STATISTICS IF EXISTS ${name}`, wanted.definition ?? '');
    }
  }
}

/** Object types as COMMENT has them, where the event trigger's word is another. */
const COMMENT_WORDS: Readonly<Record<string, string>> = {
  'table column': 'COLUMN',
  'view column': 'COLUMN',
  'table constraint': 'CONSTRAINT',
  'statistics object': 'STATISTICS',
};

export function planComment({ type, identity, comment }: ChangedObject): ChangePlan {
  if (identity === undefined) return cannot(`comment on a ${type}`);
  const word = COMMENT_WORDS[type] ?? type.toUpperCase();
  return doing(`COMMENT ON ${word} ${identity} IS ${comment === undefined ? 'NULL' : quoteLiteral(comment)}`);
}
