/**
 * The only quoting code (Postgres: quote_identifier in ruleutils.c, quote_literal in quote.c). Values are
 * parameters everywhere else; a literal is written into SQL text only where no parameter can stand (COPY, SET).
 */
export function quoteIdentifier(name: string): string {
  assertNoNul(name);
  return `"${name.replaceAll('"', '""')}"`;
}

/** The name that a quoted or plain identifier stands for in SQL of pg_dump. */
export function unquote(identifier: string): string {
  return identifier.startsWith('"') ? identifier.slice(1, -1).replaceAll('""', '"') : identifier;
}

/** A literal that means the same with any `standard_conforming_strings`. */
export function quoteLiteral(value: string): string {
  assertNoNul(value);
  const quoted = `'${value.replaceAll("'", "''")}'`;
  return value.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/** A relation by schema and name. */
export interface RelationName {
  readonly schema: string;
  readonly name: string;
}

export function quoteRelation(relation: RelationName): string {
  return `${quoteIdentifier(relation.schema)}.${quoteIdentifier(relation.name)}`;
}

/** For people: quotes only where a reader could be misled; injective, so "a.b"."c" and "a"."b.c" differ. */
export function displayRelation(relation: RelationName): string {
  return `${displayIdentifier(relation.schema)}.${displayIdentifier(relation.name)}`;
}

function displayIdentifier(name: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(name)
    ? name
    : quoteIdentifier(name).replaceAll(/[\n\r\t]/g, escapeControl);
}

function escapeControl(character: string): string {
  return character === '\n' ? '\\n' : character === '\r' ? '\\r' : '\\t';
}

function assertNoNul(text: string): void {
  if (text.includes('\0')) throw new TypeError('a NUL byte can stand in no identifier or literal');
}
