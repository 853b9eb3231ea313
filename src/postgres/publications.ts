import { sqlFile } from './sql-file.ts';
import type { CatalogReader } from './inventory.ts';

/** sql/introspect/publications.sql */
export interface Publication {
  readonly name: string;
  readonly allTables: boolean;
  readonly insert: boolean;
  readonly update: boolean;
  readonly delete: boolean;
  readonly truncate: boolean;
  readonly viaRoot: boolean;
  readonly owner: string;
  readonly owned: boolean;
  /** Some table is in it with a row filter or a column list. */
  readonly filtered: boolean;
  /** SHA-256 of its options and of what it is: another one once it was dropped and made again. */
  readonly shape: string;
  /** SHA-256 of options, tables, filters and columns: equal as long as the publication carries the same. */
  readonly definition: string;
}

/** Those of the given publications that exist. One short query: a heartbeat can afford it. */
export function readPublications(reader: CatalogReader, names: readonly string[]): Promise<Publication[]> {
  return reader.query<Publication>(sqlFile('introspect/publications'), [names]);
}
