import type { CoverageEntry, Scope } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import { relationPattern, schemaPattern } from '../model/patterns.ts';
import type { NamePattern } from '../model/patterns.ts';
import type { Relation } from '../postgres/inventory.ts';
import { managedByProvider } from './provider-profile.ts';
import type { Profile } from './provider-profile.ts';

/** What the user asked for: name patterns as pg_dump reads them. All empty: everything. */
export interface Selection {
  readonly tables: readonly string[];
  readonly schemas: readonly string[];
  readonly exclude: readonly string[];
}

export interface SelectedRelations {
  /** Tables whose rows are stored. */
  readonly tables: readonly Relation[];
  /** Partitioned tables: locked, never copied themselves. */
  readonly parents: readonly Relation[];
  readonly sequences: readonly Relation[];
  readonly materializedViews: readonly Relation[];
  /** Tables that exist and whose rows are not stored. */
  readonly withoutData: readonly Relation[];
  readonly scope: Scope;
  readonly coverage: readonly CoverageEntry[];
}

/**
 * Decides for every relation as pg_dump does: ordinary tables and partitions have their rows stored, extension
 * members only where pg_extension_config_dump() registered them, unlogged tables come back empty.
 *
 * Fails with `source.permission` or `source.row_security` when a selected relation can't be read whole, and
 * with `usage.invalid` when a pattern matches nothing: a typo must not make an empty backup.
 */
export function selectRelations(
  relations: readonly Relation[],
  selection: Selection,
  profile: Profile,
): SelectedRelations {
  const wanted = matcher(relations, selection);
  const managed = (relation: Relation): boolean => managedByProvider(relation, profile);
  const inScope = relations.filter(
    (relation) => !isMember(relation) && !managed(relation) && wanted(relation),
  );
  const ofKind = (kind: Relation['kind']): Relation[] => inScope.filter((relation) => relation.kind === kind);
  const plain = ofKind('r');
  const tables = plain.filter((relation) => relation.persistence === 'p');
  const unlogged = plain.filter((relation) => relation.persistence === 'u');
  const excluded = relations.filter(
    (relation) => relation.kind === 'r' && !isMember(relation) && !managed(relation) && !wanted(relation),
  );
  refuseUnreadable([...tables, ...ofKind('p'), ...ofKind('S')]);
  const selected = { tables, parents: ofKind('p'), sequences: ofKind('S'), materializedViews: ofKind('m') };
  return {
    ...selected,
    withoutData: [...unlogged, ...excluded],
    scope: scopeOf(selection),
    coverage: [
      ...entry(
        'unlogged-table',
        unlogged,
        'unlogged tables come back empty, as with pg_dump --no-unlogged-table-data',
      ),
      ...entry(
        'foreign-table',
        ofKind('f'),
        'the rows of foreign tables live on another server and are not stored',
      ),
      ...entry(
        'materialized-view',
        selected.materializedViews,
        'content is not stored; it is refreshed at the end of a restore',
      ),
      ...entry('excluded-by-scope', excluded, 'rows are not in this snapshot because of its scope'),
      ...entry(
        'managed-schema',
        relations.filter((r) => r.kind === 'r' && managed(r)),
        'kept by the provider; not part of a snapshot',
      ),
      ...entry(
        'no-identity',
        tables.filter((r) => r.withoutIdentity && !r.isPartition),
        'without a primary key or replica identity: a change stream carries only inserts',
      ),
    ],
  };
}

/** What CREATE EXTENSION makes again. */
function isMember(relation: Relation): boolean {
  return relation.extension !== null && relation.condition === null;
}

/** A pattern that names a partitioned table means its partitions too: they hold its rows. */
function matcher(relations: readonly Relation[], selection: Selection): (relation: Relation) => boolean {
  const include = [
    ...selection.tables.map((text) => relationPattern(text)),
    ...selection.schemas.map((text) => schemaPattern(text)),
  ];
  const exclude = selection.exclude.map((text) => relationPattern(text));
  const byOid = new Map(relations.map((relation) => [relation.oid, relation]));
  const matches = (pattern: NamePattern, relation: Relation | undefined): boolean =>
    relation !== undefined &&
    (pattern.matches(relation) || matches(pattern, byOid.get(relation.partitionOf ?? '')));
  for (const pattern of [...include, ...exclude]) {
    if (!relations.some((relation) => pattern.matches(relation))) {
      throw new Failure('usage.invalid', `no table matches ${pattern.text}`, {
        facts: { pattern: pattern.text },
      });
    }
  }
  return (relation) =>
    (include.length === 0 || include.some((pattern) => matches(pattern, relation))) &&
    !exclude.some((pattern) => matches(pattern, relation));
}

function scopeOf(selection: Selection): Scope {
  if (selection.tables.length + selection.schemas.length + selection.exclude.length === 0)
    return { kind: 'whole' };
  return {
    kind: 'partial',
    tables: [...selection.tables],
    schemas: [...selection.schemas],
    exclude: [...selection.exclude],
  };
}

function refuseUnreadable(relations: readonly Relation[]): void {
  const unreadable = relations
    .filter((relation) => !relation.readable)
    .map((relation) => displayRelation(relation));
  if (unreadable.length > 0) {
    throw new Failure('source.permission', `no right to read ${listed(unreadable)}`, {
      facts: { relations: unreadable },
      remedy:
        'grant USAGE on the schema and SELECT on tables and sequences (or pg_read_all_data), or --exclude them',
    });
  }
  const secured = relations
    .filter((relation) => relation.rowSecurity)
    .map((relation) => displayRelation(relation));
  if (secured.length > 0) {
    throw new Failure('source.row_security', `row-level security would hide rows of ${listed(secured)}`, {
      facts: { relations: secured },
    });
  }
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}

function entry(kind: CoverageEntry['kind'], relations: readonly Relation[], note: string): CoverageEntry[] {
  if (relations.length === 0) return [];
  return [{ kind, objects: relations.map((relation) => displayRelation(relation)), note }];
}
