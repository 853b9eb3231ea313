import { sha256Hex } from '../archive/digest.ts';
import type { RelationName } from '../model/identifiers.ts';
import { sqlFile } from './sql-file.ts';

/** What is needed of a connection to read the catalog. */
export interface CatalogReader {
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** sql/introspect/server.sql */
export interface ServerFacts {
  readonly versionNumber: number;
  readonly versionText: string;
  readonly inRecovery: boolean;
  readonly systemIdentifier: string;
  readonly timelineHex: string | null;
  readonly databaseOid: string;
  readonly databaseName: string;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  readonly databaseBytes: string;
  readonly role: string;
  readonly superuser: boolean;
  readonly bypassRls: boolean;
  /** ISO 8601, UTC, milliseconds. */
  readonly clock: string;
  readonly supabase: boolean;
  /** Those that hold relations, besides the database's own. */
  readonly tablespaces: readonly string[];
}

/** sql/introspect/relations.sql */
export interface Relation extends RelationName {
  readonly oid: string;
  /** pg_class.relkind: r, p, f, m or S. */
  readonly kind: 'r' | 'p' | 'f' | 'm' | 'S';
  /** pg_class.relpersistence: p or u. */
  readonly persistence: 'p' | 'u';
  readonly isPartition: boolean;
  /** The oid of the partitioned table that this is a partition of. */
  readonly partitionOf: string | null;
  readonly accessMethod: string;
  readonly populated: boolean;
  readonly readable: boolean;
  readonly rowSecurity: boolean;
  readonly withoutIdentity: boolean;
  readonly extension: string | null;
  readonly condition: string | null;
  readonly columns: readonly string[];
  readonly references: readonly string[];
}

/** sql/introspect/table-definitions.sql */
export interface TableDefinition extends RelationName {
  /** Of its name, too. */
  readonly definition: string;
}

export interface Extension {
  readonly name: string;
  readonly version: string;
  readonly schema: string;
}

export async function readServerFacts(reader: CatalogReader): Promise<ServerFacts> {
  const [facts] = await reader.query<ServerFacts>(sqlFile('introspect/server'));
  if (facts === undefined) throw new Error('the server answered no row about itself');
  return facts;
}

export function readRelations(reader: CatalogReader): Promise<Relation[]> {
  return reader.query<Relation>(sqlFile('introspect/relations'));
}

export function readExtensions(reader: CatalogReader): Promise<Extension[]> {
  return reader.query<Extension>(sqlFile('introspect/extensions'));
}

/** Bytes by table oid: of heap, of heap and TOAST, and of indexes. Call it after the snapshot was taken (REPLICATION, I 54). */
export async function readTableSizes(
  reader: CatalogReader,
  oids: readonly string[],
): Promise<Map<string, { heapBytes: bigint; totalBytes: bigint; indexBytes: bigint }>> {
  const rows = await reader.query<{
    oid: string;
    heapBytes: string;
    totalBytes: string;
    indexBytes: string;
  }>(sqlFile('introspect/sizes'), [oids]);
  return new Map(
    rows.map(({ oid, heapBytes, totalBytes, indexBytes }) => [
      oid,
      { heapBytes: BigInt(heapBytes), totalBytes: BigInt(totalBytes), indexBytes: BigInt(indexBytes) },
    ]),
  );
}

/** Names of tables and digests of how they are made, by oid: the same as long as their rows fit. The session's search_path must be empty. */
export async function readTableDefinitions(
  reader: CatalogReader,
  oids: readonly string[],
): Promise<Map<string, TableDefinition>> {
  const rows = await reader.query<TableDefinition & { oid: string }>(
    sqlFile('introspect/table-definitions'),
    [oids],
  );
  return new Map(
    rows.map(({ oid, definition, ...name }) => [
      oid,
      { ...name, definition: sha256Hex(Buffer.from(definition)) },
    ]),
  );
}

/** Versions of the definitions that pg_dump does not read under its snapshot. */
export async function readDefinitionVersions(reader: CatalogReader): Promise<Set<string>> {
  const rows = await reader.query<{ catalog: string; version: string }>(sqlFile('introspect/definitions'));
  return new Set(rows.map((row) => `${row.catalog}:${row.version}`));
}
