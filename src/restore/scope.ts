import type { Wanted } from '../catalog/window.ts';
import { relationPattern, schemaPattern } from '../model/patterns.ts';
import type { NamePattern } from '../model/patterns.ts';

/** What of a snapshot is wanted. Patterns as pg_dump reads them; both empty: everything. */
export interface RestoreScope {
  readonly tables: readonly string[];
  readonly schemas: readonly string[];
  readonly part: 'all' | 'schema-only' | 'data-only';
}

export function patternsOf({ tables, schemas }: RestoreScope): NamePattern[] {
  return [...tables.map((text) => relationPattern(text)), ...schemas.map((text) => schemaPattern(text))];
}

/** A pattern that names a partitioned table means its partitions too. */
export function wantedBy(scope: RestoreScope): Wanted {
  return patternsOf(scope).map(
    (pattern) =>
      ({ partitionOf = [], ...table }) =>
        [table, ...partitionOf].some((name) => pattern.matches(name)),
  );
}
