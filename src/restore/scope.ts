/** What of a snapshot is wanted. Patterns as pg_dump reads them; both empty: everything. */
export interface RestoreScope {
  readonly tables: readonly string[];
  readonly schemas: readonly string[];
  readonly part: 'all' | 'schema-only' | 'data-only';
}
