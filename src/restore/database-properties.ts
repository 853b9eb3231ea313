import { quoteIdentifier, unquote } from '../model/identifiers.ts';
import type { SchemaEntry } from './schema-script.ts';

/** A statement about the database itself, which pg_dump keeps in every archive, for the database of the target. */
export interface DatabaseStatement {
  readonly sql: string;
  /** For people, without values, which may be secrets. */
  readonly about: string;
  /** It can't be said where this role is missing. */
  readonly role?: string;
}

const NAME = String.raw`"(?:[^"]|"")*"|[^\s",;]+`;
/** How such statements begin; `before` and `after` stand around the database's name. */
const FORMS: readonly { readonly form: RegExp; readonly what: string }[] = [
  { what: 'setting', form: form('ALTER DATABASE ', ` SET (?<setting>${NAME}) `) },
  {
    what: 'setting',
    form: form(`ALTER ROLE (?<role>${NAME}) IN DATABASE `, ` SET (?<setting>${NAME}) `),
  },
  { what: 'connection limit', form: form('ALTER DATABASE ', ' CONNECTION LIMIT = ') },
  { what: 'mark as a template', form: form('ALTER DATABASE ', ' IS_TEMPLATE = ') },
  { what: 'comment', form: form('COMMENT ON DATABASE ', ' IS ') },
  { what: 'security label', form: form(`SECURITY LABEL FOR (?:${NAME}) ON DATABASE `, ' IS ') },
  {
    what: 'privileges',
    form: form('(?:GRANT|REVOKE) [A-Z, ]+ ON DATABASE ', ` (?:TO|FROM) (?<role>${NAME})`),
  },
];

function form(before: string, after: string): RegExp {
  return new RegExp(`^(?<before>${before})(?:${NAME})(?<after>${after})`);
}

/** Entries about the database as a whole, which pg_restore prints with --create only. */
export function partDatabase(entries: readonly SchemaEntry[]): {
  readonly database: readonly SchemaEntry[];
  readonly rest: readonly SchemaEntry[];
} {
  const made = new Set(entries.filter((entry) => entry.type === 'DATABASE').map((entry) => entry.dumpId));
  const isAbout = (entry: SchemaEntry): boolean =>
    entry.type === 'DATABASE' ||
    entry.type === 'DATABASE PROPERTIES' ||
    (/^(?:ACL|COMMENT|SECURITY LABEL)$/.test(entry.type) && entry.dependencies.some((id) => made.has(id)));
  return {
    database: entries.filter((entry) => isAbout(entry)),
    rest: entries.filter((entry) => !isAbout(entry)),
  };
}

/**
 * Pure. The statements that make a database what the source's was, by another name: owner, settings, comment, labels,
 * privileges. Not that it exists, nor what other roles than its owner have granted.
 */
export function databaseStatements(
  entries: readonly SchemaEntry[],
  options: { readonly database: string },
): DatabaseStatement[] {
  const name = quoteIdentifier(options.database);
  const made = entries.find((entry) => entry.type === 'DATABASE');
  const owner = made !== undefined && /\bOWNER TO\b/.test(made.sql) ? made.owner : '';
  const inOrder = [
    ...entries.filter((entry) => entry.type !== 'ACL'),
    ...entries.filter((entry) => entry.type === 'ACL'),
  ];
  return [
    ...(owner === ''
      ? []
      : [
          {
            sql: `ALTER DATABASE ${name} OWNER TO ${quoteIdentifier(owner)}`,
            about: `owner ${owner}`,
            role: owner,
          },
        ]),
    ...inOrder.filter((entry) => entry.type !== 'DATABASE').flatMap((entry) => rename(entry.sql, name)),
  ];
}

function rename(script: string, name: string): DatabaseStatement[] {
  const renamed: DatabaseStatement[] = [];
  for (const statement of statements(script)) {
    if (statement.startsWith('SET SESSION AUTHORIZATION ')) break;
    for (const { form, what } of FORMS) {
      const found = form.exec(statement);
      const { before = '', after = '', role, setting } = found?.groups ?? {};
      if (found === null) continue;
      renamed.push({
        sql: `${before}${name}${after}${statement.slice(found[0].length)}`,
        about: [
          what,
          unquote(setting ?? ''),
          role === undefined ? '' : unquote(role) === 'PUBLIC' ? 'of everyone' : `of role ${unquote(role)}`,
        ]
          .filter((word) => word !== '')
          .join(' '),
        ...(role !== undefined && unquote(role) !== 'PUBLIC' && { role: unquote(role) }),
      });
    }
  }
  return renamed;
}

/** Cuts a script of pg_dump at semicolons outside of quotes. A value may hold anything. */
function statements(script: string): string[] {
  const found: string[] = [];
  let current = '';
  for (const [token] of script.matchAll(
    /E'(?:[^'\\]|''|\\[\s\S])*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|;|[^'";E]+|[\s\S]/g,
  )) {
    if (token !== ';') {
      current += token;
      continue;
    }
    found.push(current.trim());
    current = '';
  }
  return found;
}
