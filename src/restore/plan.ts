import type { Manifest, MaterializedViewEntry, SequenceEntry, TableEntry } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import type { StoredRange } from '../catalog/member-index.ts';
import { isWanted } from '../catalog/window.ts';
import { databaseStatements, partDatabase } from './database-properties.ts';
import type { DatabaseStatement } from './database-properties.ts';
import type { TimeEstimate } from './estimate.ts';
import { patternsOf, wantedBy } from './scope.ts';
import type { RestoreScope } from './scope.ts';
import type { SchemaEntry } from './schema-script.ts';
import { entriesForTables, sections } from './select-entries.ts';

/** All that a restore will do, decided before it does anything. */
export interface RestorePlan {
  readonly tables: readonly TableEntry[];
  readonly preData: readonly SchemaEntry[];
  readonly postData: readonly SchemaEntry[];
  readonly sequences: readonly SequenceEntry[];
  readonly materializedViews: readonly MaterializedViewEntry[];
  readonly rows: bigint;
  readonly copyBytes: number;
  /** What is said of the database itself when all else is done. */
  readonly database: readonly DatabaseStatement[];
  /** To be read from the repository. */
  readonly storedBytes: number;
  /** What will not come back, in sentences. */
  readonly notes: readonly string[];
  /** Numbers of tables that the target's provider has made: only rows go into them. */
  readonly existing?: ReadonlySet<number>;
  /** What it takes on the target's disks, and whether that is there: a line, where the target could be asked. */
  readonly space?: string;
  /** How long it takes, where the target could be asked. */
  readonly time?: TimeEstimate;
  /** Reasons why it can't start. */
  readonly blockers: readonly string[];
}

interface Named extends RelationName {
  readonly partitionOf?: readonly RelationName[];
}

export interface PlanFacts {
  readonly manifest: Manifest;
  readonly scope: RestoreScope;
  readonly index: ReadonlyMap<number, readonly StoredRange[]>;
  /** Empty for a data-only restore. */
  readonly entries: readonly SchemaEntry[];
  /** The target's name, and whether it is to become what the source was as a database. */
  readonly database: { readonly name: string; readonly restored: boolean };
}

/** Pure: facts in, plan out. Fails with `recovery.no_table` when a pattern matches nothing. */
export function planRestore(facts: PlanFacts): RestorePlan {
  const { manifest, scope, index } = facts;
  const { database, rest: entries } = partDatabase(facts.entries);
  const whole = scope.tables.length + scope.schemas.length === 0;
  const wanted = matcher(manifest, scope);
  const selected = manifest.tables.filter((table) => wanted(table));
  const tables = scope.part === 'schema-only' ? [] : selected.filter((table) => table.data !== 'excluded');
  const chosen = chooseEntries({ ...facts, entries }, { whole, selected, wanted });
  const section = sections(entries);
  const created = new Set(chosen.entries.map((entry) => entry.oid));
  const inScope = (relation: { oid: number; schema: string; name: string }): boolean =>
    whole || (scope.part === 'data-only' ? wanted(relation) : created.has(String(relation.oid)));
  const ranges = tables.flatMap((table) => index.get(table.number) ?? []);
  const statements = whole ? databaseStatements(database, { database: facts.database.name }) : [];
  return {
    tables,
    database: facts.database.restored ? statements : [],
    preData: chosen.entries.filter((entry) => section.get(entry) === 'pre-data'),
    postData: chosen.entries.filter((entry) => section.get(entry) === 'post-data'),
    sequences: scope.part === 'schema-only' ? [] : manifest.sequences.filter((sequence) => inScope(sequence)),
    materializedViews:
      scope.part === 'schema-only'
        ? []
        : manifest.materializedViews.filter((view) => view.populated && inScope(view)),
    rows: tables.reduce((sum, table) => sum + BigInt(table.rows), 0n),
    copyBytes: ranges.reduce((sum, range) => sum + range.copyBytes, 0),
    storedBytes:
      ranges.reduce((sum, range) => sum + range.storedBytes, 0) +
      // A dump is read as a whole, whatever is wanted of it.
      manifest.parts
        .filter((part) => part.role.startsWith('full-'))
        .reduce((sum, part) => sum + part.sizeBytes, 0),
    notes: [
      ...notes(manifest, selected, scope),
      ...chosen.notes,
      ...(facts.database.restored ? [] : notRestored(statements)),
    ],
    blockers: [],
  };
}

/**
 * Whether changes of a table belong to what comes back. Not those of rows that the snapshot does not have; of a table
 * that it does not know, which was made later, when its name or everything is wanted.
 */
export function wantedTables(manifest: Manifest, scope: RestoreScope): (relation: RelationName) => boolean {
  const inScope = matcher(manifest, scope);
  const known = new Map(manifest.tables.map((table) => [displayRelation(table), table]));
  return (relation) => {
    const table = known.get(displayRelation(relation));
    return table === undefined ? inScope(relation) : table.data !== 'excluded' && inScope(table);
  };
}

function matcher(manifest: Manifest, scope: RestoreScope): (relation: Named) => boolean {
  const wanted = wantedBy(scope);
  for (const [index, pattern] of patternsOf(scope).entries())
    if (!manifest.tables.some((table) => wanted[index]?.(table) === true))
      throw new Failure(
        'recovery.no_table',
        `snapshot ${manifest.id} has no table that matches ${pattern.text}`,
        { facts: { pattern: pattern.text, snapshot: manifest.id } },
      );
  return (relation) => isWanted(wanted, relation);
}

function chooseEntries(
  facts: PlanFacts,
  selection: {
    readonly whole: boolean;
    readonly selected: readonly TableEntry[];
    readonly wanted: (relation: Named) => boolean;
  },
): { entries: readonly SchemaEntry[]; notes: string[] } {
  if (facts.scope.part === 'data-only') return { entries: [], notes: [] };
  if (selection.whole) return { entries: facts.entries, notes: [] };
  const ancestors = selection.selected.flatMap((table) =>
    table.partitionOf.filter((parent) => selection.wanted(parent)),
  );
  const oids = new Set([...selection.selected, ...ancestors].map((table) => String(table.oid)));
  const { entries, leftOut } = entriesForTables(facts.entries, oids);
  const why = 'is left out: it needs a table outside the selection';
  return { entries, notes: leftOut.map((entry) => `${entry.type.toLowerCase()} ${entry.name} ${why}`) };
}

function notes(manifest: Manifest, selected: readonly TableEntry[], scope: RestoreScope): string[] {
  const excluded = selected
    .filter((table) => table.data === 'excluded')
    .map((table) => displayRelation(table));
  return [
    ...(excluded.length > 0 && scope.part !== 'schema-only'
      ? [`rows of ${excluded.join(', ')} are not in this snapshot; the tables come back empty`]
      : []),
    ...manifest.coverage
      .filter(
        (entry) =>
          entry.kind === 'role-passwords' ||
          entry.kind === 'large-objects-excluded' ||
          entry.kind === 'tablespaces' ||
          entry.kind === 'foreign-table',
      )
      .map((entry) =>
        entry.objects.length === 0 ? entry.note : `${entry.note} (${entry.objects.slice(0, 5).join(', ')})`,
      ),
  ];
}

function notRestored(statements: readonly DatabaseStatement[]): string[] {
  if (statements.length === 0) return [];
  const what = statements.map(({ about }) => about).join(', ');
  return [`of the database itself, --create or --globals would bring back: ${what}`];
}
