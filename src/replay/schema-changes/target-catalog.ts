import {
  parseOtherDescription,
  parseRelationDescription,
  parseTypeDescription,
} from '../../archive/schema-message.ts';
import type {
  DroppedObject,
  OtherDescription,
  RelationDescription,
  TypeDescription,
} from '../../archive/schema-message.ts';
import { quoteIdentifier, quoteRelation } from '../../model/identifiers.ts';
import type { RelationName } from '../../model/identifiers.ts';
import type { Connection } from '../../postgres/connection.ts';
import { sourceSql } from '../../postgres/source-sql.ts';
import { sqlFile } from '../../postgres/sql-file.ts';
import type { DroppedPart } from './plan-drop.ts';

type Catalog = 'pg_class' | 'pg_type' | 'pg_namespace' | 'pg_proc';

/** An object of the snapshot's schema: the catalog that it is in and its OID on the source, and its name. */
export interface SourceObject {
  readonly catalogOid: string;
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
}

const CATALOGS: Readonly<Record<string, Catalog>> = {
  '1259': 'pg_class',
  '1247': 'pg_type',
  '2615': 'pg_namespace',
  '1255': 'pg_proc',
};

/**
 * The target as the schema changes see it: what the source's objects are here, by their OIDs there, whatever they are
 * called by now; and each as the source's own functions would describe it. All in the open transaction.
 */
export class TargetCatalog {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** True when this was the first time, and everything still has the snapshot's name. */
  async install(objects: readonly SourceObject[]): Promise<void> {
    const [row] = await this.#connection.query<{ exists: boolean }>(
      `SELECT to_regclass('tidemark_restore.source_object') IS NOT NULL AS "exists"`,
    );
    if (row?.exists === true) return;
    await this.#connection.execute(sourceSql('describe', { schema: 'tidemark_restore' }));
    await this.#connection.execute(sqlFile('target/schema-changes'));
    await this.note(
      objects.flatMap(({ catalogOid, oid, schema, name }) => {
        const catalog = CATALOGS[catalogOid];
        const called = catalog && sqlName(catalog, { schema, name });
        return catalog === undefined || called === undefined ? [] : [{ catalog, oid, name: called }];
      }),
    );
  }

  /** Remembers what objects of the source are here, under the names that they have now. */
  async note(
    objects: readonly { readonly catalog: Catalog; readonly oid: string; readonly name: string }[],
  ): Promise<void> {
    await this.#connection.query(sqlFile('target/source-objects'), [
      objects.map(({ catalog }) => catalog),
      objects.map(({ oid }) => oid),
      objects.map(({ name }) => name),
    ]);
  }

  /** Tables of the snapshot, and of what came since, as they are called now. */
  async relations(): Promise<RelationName[]> {
    return await this.#connection.query<RelationName & object>(
      `SELECT n.nspname AS "schema", c.relname AS "name" FROM tidemark_restore.source_object o
         JOIN pg_class c ON c.oid = o.target JOIN pg_namespace n ON n.oid = c.relnamespace WHERE o.class = 'pg_class'`,
    );
  }

  relation(wanted: { readonly oid: string } & RelationName): Promise<RelationDescription | undefined> {
    return this.#describe(
      { catalog: 'pg_class', oid: wanted.oid, name: quoteRelation(wanted) },
      parseRelationDescription,
    );
  }

  type(wanted: TypeDescription): Promise<TypeDescription | undefined> {
    return this.#describe(
      { catalog: 'pg_type', oid: wanted.oid, name: quoteRelation(wanted) },
      parseTypeDescription,
    );
  }

  async other(wanted: OtherDescription): Promise<OtherDescription | undefined> {
    const catalog =
      wanted.kind === 'function' ? 'pg_proc' : wanted.kind === 'schema' ? 'pg_namespace' : undefined;
    if (catalog === undefined) return undefined;
    const name = wanted.signature ?? quoteIdentifier(wanted.name);
    return await this.#describe({ catalog, oid: wanted.oid ?? '0', name }, parseOtherDescription);
  }

  async hasSchema(name: string): Promise<boolean> {
    const [row] = await this.#connection.query<{ exists: boolean }>(
      'SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS "exists"',
      [name],
    );
    return row?.exists === true;
  }

  /** The table of an index that is about to be dropped, as it is called now. */
  async tableOfIndex({ type, identity }: DroppedObject): Promise<RelationName | undefined> {
    if (type !== 'index') return undefined;
    const [row] = await this.#connection.query<RelationName & object>(
      `SELECT n.nspname AS "schema", c.relname AS "name" FROM pg_index i
         JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE i.indexrelid = to_regclass($1)`,
      [identity],
    );
    return row;
  }

  async isInherited(part: DroppedPart): Promise<boolean> {
    const [row] = await this.#connection.query<{ inherited: boolean }>(sqlFile('target/inherited-part'), [
      quoteRelation(part),
      part.kind === 'column' ? part.part : null,
      part.kind === 'constraint' ? part.part : null,
    ]);
    return row?.inherited === true;
  }

  async hasRows(relation: RelationName): Promise<boolean> {
    const [row] = await this.#connection.query<{ rows: boolean }>(
      `SELECT EXISTS (SELECT FROM ONLY ${quoteRelation(relation)}) AS "rows"`,
    );
    return row?.rows === true;
  }

  async #describe<T>(
    of: { readonly catalog: Catalog; readonly oid: string; readonly name: string },
    parse: (text: string) => T,
  ): Promise<T | undefined> {
    const [row] = await this.#connection.query<{ description: string | null }>(sqlFile('target/described'), [
      of.catalog,
      of.oid,
      of.name,
    ]);
    const text = row?.description;
    if (text === undefined || text === null) return undefined;
    return parse(text);
  }
}

/** Undefined for names that can't be read back: pg_dump prints functions as people read them. */
function sqlName(catalog: Catalog, { schema, name }: RelationName): string | undefined {
  if (catalog === 'pg_namespace') return quoteIdentifier(name);
  if (catalog !== 'pg_proc') return quoteRelation({ schema, name });
  return /^\w+\([\w., []*\]*\)$/.test(name)
    ? `${quoteIdentifier(schema)}.${quoteIdentifier(name.slice(0, name.indexOf('(')))}${name.slice(name.indexOf('('))}`
    : undefined;
}
