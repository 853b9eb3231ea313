import { Failure } from './failure.ts';
import type { RelationName } from './identifiers.ts';

/**
 * A name pattern as psql and pg_dump read them (psql's "Patterns"): `*` and `?` are wildcards, unquoted
 * letters fold to lower case, double quotes keep everything literal, a dot outside quotes parts schema and
 * name. Unlike pg_dump, a pattern without a schema matches in every schema, since no search path applies.
 */
export interface NamePattern {
  readonly text: string;
  matches(relation: RelationName): boolean;
}

export function relationPattern(text: string): NamePattern {
  const parts = patternParts(text);
  const [first, second] = parts;
  if (first === undefined || parts.length > 2) throw bad(text);
  if (second === undefined) return { text, matches: (relation) => first.test(relation.name) };
  return { text, matches: (relation) => first.test(relation.schema) && second.test(relation.name) };
}

export function schemaPattern(text: string): NamePattern {
  const parts = patternParts(text);
  const [only] = parts;
  if (only === undefined || parts.length > 1) throw bad(text);
  return { text, matches: (relation) => only.test(relation.schema) };
}

function patternParts(text: string): RegExp[] {
  const parts: string[] = [''];
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character === '"') {
      if (quoted && text.charAt(at + 1) === '"') {
        append(parts, '"');
        at += 1;
      } else quoted = !quoted;
    } else if (quoted) append(parts, literal(character));
    else if (character === '.') parts.push('');
    else if (character === '*') append(parts, '.*');
    else if (character === '?') append(parts, '.');
    else append(parts, literal(character.toLowerCase()));
  }
  if (quoted || parts.includes('')) throw bad(text);
  return parts.map((part) => new RegExp(`^(?:${part})$`, 'su'));
}

function append(parts: string[], piece: string): void {
  parts[parts.length - 1] += piece;
}

function literal(character: string): string {
  return character.replace(/[\\^$.*+?()[\]{}|/]/, '\\$&');
}

function bad(text: string): Failure {
  return new Failure('usage.invalid', `not a name pattern: ${text}`, {
    remedy: 'write schema.table, table, or a pattern like public.user_*; put odd names into double quotes',
  });
}
