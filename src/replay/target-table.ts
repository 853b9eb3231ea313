import { quoteIdentifier, quoteRelation } from '../model/identifiers.ts';
import type { Relation } from '../pgoutput/decode.ts';
import { decodeMessage } from '../pgoutput/decode.ts';
import type { RelationInForce } from '../pgoutput/relations-in-force.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';

/** A column that changes bring values for, at its place in the Relation message. */
interface ReplayColumn {
  readonly quoted: string;
  /** Turns a text expression into the column's type by the type's own input function. */
  readonly cast: (text: string) => string;
  /** One of those that find a row. */
  readonly isKey: boolean;
  /** GENERATED ALWAYS AS IDENTITY: an UPDATE may not even set it to what it is. */
  readonly isIdentityAlways: boolean;
  /** In a unique index or exclusion constraint: setting many rows at once may collide on the way. */
  readonly isUnique: boolean;
}

/** The table of the target that a relation's changes go to. */
export interface TargetTable {
  readonly relation: Relation;
  readonly quoted: string;
  readonly isPartitioned: boolean;
  readonly columns: readonly ReplayColumn[];
  /**
   * Which columns find a row: places, and the operators that compare. Undefined: the whole row does (REPLICA
   * IDENTITY FULL without a key), or nothing (rows are only inserted).
   */
  readonly key: readonly { readonly column: number; readonly equals: string }[] | undefined;
  /** Two keys are equal just when their texts are: changes of rows with other keys may pass each other. */
  readonly mayReorder: boolean;
  /** More than the key keeps rows apart, so that changes out of their order can collide. */
  readonly mayCollide: boolean;
}

interface ColumnFacts {
  readonly name: string;
  readonly typeOid: string;
  readonly typeSchema: string;
  readonly typeName: string;
  readonly typeModifier: number;
  readonly type: string;
  readonly isGenerated: boolean;
  readonly isIdentityAlways: boolean;
  readonly castFrom: string | null;
}

interface IndexFacts {
  readonly isPrimary: boolean;
  readonly isKey: boolean;
  readonly columns: readonly string[];
  readonly equals: readonly string[];
  readonly isNotNull: boolean;
  readonly isPlain: boolean;
}

interface TableFacts {
  readonly kind: string;
  readonly firing: readonly string[];
  readonly origin: readonly string[];
}

/** What the target's catalog says of a relation; `table` undefined when it has none of that name. */
export interface CatalogFacts {
  readonly table: TableFacts | undefined;
  readonly columns: readonly ColumnFacts[];
  readonly indexes: readonly IndexFacts[];
}

export async function readCatalog(connection: Connection, relation: Relation): Promise<CatalogFacts> {
  const name = [quoteRelation(relation)];
  const [table] = await connection.query<TableFacts>(sqlFile('target/replay-table'), name);
  return {
    table,
    columns: await connection.query<ColumnFacts>(sqlFile('target/replay-columns'), name),
    indexes: await connection.query<IndexFacts>(sqlFile('target/replay-indexes'), name),
  };
}

/**
 * How the target's table differs from the definition that the changes were made under; empty when they fit. Generated
 * columns may be more on the target: it computes them. Anything else that differs would lose or alter values.
 */
export function findDrift(inForce: RelationInForce, catalog: CatalogFacts): string[] {
  const { relation } = inForce;
  const { table, columns, indexes } = catalog;
  if (table === undefined) return ['does not exist on the target'];
  // A partitioned table has no rows of its own; only TRUNCATE names it.
  if (table.kind === 'p') return [];
  if (table.kind !== 'r') return ['is no table on the target'];
  const found = new Map(columns.map((column) => [column.name, column]));
  const types = typeNames(inForce);
  const drift = relation.columns.flatMap((column) => {
    const there = found.get(column.name);
    found.delete(column.name);
    if (there === undefined) return [`has no column ${column.name} on the target`];
    if (there.isGenerated) return [`computes its column ${column.name} on the target`];
    const sent = types.get(column.typeOid);
    const isSame =
      sent === undefined
        ? there.typeOid === String(column.typeOid)
        : there.typeSchema === sent.schema && there.typeName === sent.name;
    if (!isSame || there.typeModifier !== column.typeModifier)
      return [`has its column ${column.name} of another type on the target`];
    return there.castFrom === null ? [`has casts in place of the input of its column ${column.name}`] : [];
  });
  for (const column of found.values())
    if (!column.isGenerated) drift.push(`has a column ${column.name} on the target that the changes lack`);
  if (identityColumns(relation).length > 0 && chooseKey(relation, indexes) === undefined)
    drift.push('has no unique index on the target for its replica identity');
  return drift;
}

/** What would run, or refuse, on the target besides the changes themselves. */
export function findBlockers(
  catalog: CatalogFacts,
  options: { readonly replica: boolean },
): readonly string[] {
  return (options.replica ? catalog.table?.firing : catalog.table?.origin) ?? [];
}

/** For facts without drift. */
export function targetTable({ relation }: RelationInForce, catalog: CatalogFacts): TargetTable {
  const facts = new Map(catalog.columns.map((column) => [column.name, column]));
  const isUnique = uniqueColumns(catalog.indexes);
  const index = chooseKey(relation, catalog.indexes);
  const places = new Map(relation.columns.map((column, place) => [column.name, place]));
  return {
    relation,
    quoted: quoteRelation(relation),
    isPartitioned: catalog.table?.kind === 'p',
    columns: relation.columns.map(({ name }) => ({
      quoted: quoteIdentifier(name),
      isKey: index?.columns.includes(name) === true,
      cast: (text) => `${text}::${facts.get(name)?.castFrom}::${facts.get(name)?.type}`,
      isIdentityAlways: facts.get(name)?.isIdentityAlways === true,
      isUnique: isUnique(name),
    })),
    key: index?.columns.map((name, place) => ({
      column: places.get(name) ?? 0,
      equals: index.equals[place] ?? '',
    })),
    mayReorder: index?.isPlain === true,
    mayCollide: catalog.indexes.length > 1,
  };
}

/** With REPLICA IDENTITY FULL, a key of the target finds a row of which everything is known. */
function chooseKey(relation: Relation, indexes: readonly IndexFacts[]): IndexFacts | undefined {
  if (relation.identity === 'full') {
    const names = new Set(relation.columns.map((column) => column.name));
    return indexes.find(
      (index) => index.isKey && index.isNotNull && index.columns.every((name) => names.has(name)),
    );
  }
  const wanted = identityColumns(relation);
  if (wanted.length === 0) return undefined;
  return indexes.find(
    (index) =>
      index.isKey &&
      index.columns.length === wanted.length &&
      wanted.every((name) => index.columns.includes(name)),
  );
}

/** pgoutput marks every column of REPLICA IDENTITY FULL. */
function identityColumns(relation: Relation): string[] {
  if (relation.identity === 'full') return [];
  return relation.columns.filter((column) => column.isKey).map((column) => column.name);
}

function uniqueColumns(indexes: readonly IndexFacts[]): (name: string) => boolean {
  const names = new Set(indexes.flatMap((index) => index.columns));
  // An expression may stand on any column.
  return (name) => names.has('') || names.has(name);
}

/** Types that are not built in, by what their Type messages say. */
function typeNames(
  inForce: RelationInForce,
): Map<number, { readonly schema: string; readonly name: string }> {
  const types = new Map<number, { readonly schema: string; readonly name: string }>();
  for (const { raw } of inForce.types) {
    const type = decodeMessage(raw, 'storage');
    if (type.kind === 'type') types.set(type.oid, type);
  }
  return types;
}
