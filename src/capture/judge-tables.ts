import { lsnOf } from '../archive/run-document.ts';
import type { GapDocument, TablesDocument } from '../archive/stream-documents.ts';
import { formatLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import type { CaptureSchema, CaptureTable } from '../postgres/capture-probe.ts';

export type KnownTable = TablesDocument['tables'][number];

/** What one look at the catalog saw, all of it in one snapshot. */
export interface TableLook extends Pick<CaptureSchema, 'triggers' | 'objects'> {
  /** Read behind the snapshot: what it shows committed before. */
  readonly position: Lsn;
  /** `_rows` is FOR ALL TABLES. */
  readonly allTables: boolean;
  readonly tables: readonly CaptureTable[];
}

/** What the look before has left. */
export interface KnownTables extends Pick<TablesDocument, 'triggers' | 'objects'> {
  readonly tables: readonly KnownTable[];
  /** What it did not show committed behind this position. */
  readonly holdsUntil: Lsn;
}

export interface MissedStretch {
  readonly reason: GapDocument['reason'];
  readonly from: Lsn;
  readonly to: Lsn;
  readonly tables: readonly KnownTable[];
}

export interface TableJudgement {
  readonly tables: readonly KnownTable[];
  /** Some changes of tables are missing in between; behind it all are stored again. */
  readonly gaps: readonly MissedStretch[];
  /** Less is stored of them from now on, or they are new and not stored whole. */
  readonly limited: readonly KnownTable[];
  /** Tables, or what belongs to them, are others than they were. */
  readonly schemaChanged: boolean;
  /** Event triggers have told of every schema change since the look before. */
  readonly exact: boolean;
}

/**
 * What two looks at the catalog say of each table in between. Pure. Where it is not sure that all was published,
 * changes are taken for missing (P4):
 * - less is published than before: without an end, from where the look before holds. Listed, and told by restores.
 * - more is published again: a gap, from where that began up to this look.
 * - taken out and added again: a gap between the looks.
 * - a new table: nothing where all tables are published, triggers have told of everything and its key is as old as it is; else
 *   a gap.
 * - columns and storage are others, and no trigger tells of rewrites: a gap.
 *
 * A gap may end at this look whoever was writing then: a snapshot counts only with a heartbeat from behind the gap that
 * is older than all that the snapshot does not show. Without a look before nothing is judged, for the same reason.
 */
export function judgeTables(known: KnownTables | undefined, look: TableLook): TableJudgement {
  const exact = look.triggers !== '' && known?.triggers === look.triggers;
  const before = new Map(known?.tables.map((table) => [table.oid, table]));
  const holdsUntil = known?.holdsUntil ?? look.position;
  const pairs = look.tables
    .filter(({ kind }) => kind === 'r')
    .map((table) => {
      const was = before.get(Number(table.oid));
      return { table, was, now: nowKnown(table, was, { ...look, since: holdsUntil }) };
    });
  const tables = pairs.map(({ now }) => now);
  if (known === undefined) return { tables, gaps: [], limited: [], schemaChanged: false, exact };
  const missed = pairs.flatMap((pair) => {
    const found = missedBetween(pair, { exact, allTables: look.allTables });
    return found === undefined ? [] : [{ ...found, now: pair.now }];
  });
  return {
    tables,
    gaps: stretches(missed, { holdsUntil, to: look.position }),
    limited: pairs.flatMap(({ was, now }) => (rank(now) < rank(was) ? [now] : [])),
    schemaChanged:
      known.objects !== look.objects ||
      known.tables.length !== tables.length ||
      pairs.some(({ was, now }) => was === undefined || !isSameDefinition(was, now)),
    exact,
  };
}

interface Pair {
  readonly table: CaptureTable;
  readonly was: KnownTable | undefined;
  readonly now: KnownTable;
}

interface Missed {
  readonly reason: GapDocument['reason'];
  /** Undefined: since the look before. */
  readonly since: string | undefined;
}

function missedBetween(
  { table, was, now }: Pair,
  { exact, allTables }: { readonly exact: boolean; readonly allTables: boolean },
): Missed | undefined {
  if (was === undefined) {
    // Named one by one, it has rows from before it was: those of CREATE TABLE AS, if no others (I 24).
    const isWhole =
      now.stored === 'nothing' || (allTables && (now.stored === 'inserts' || (exact && table.bornWithKey)));
    return isWhole ? undefined : { reason: 'table-added', since: undefined };
  }
  if (rank(now) > rank(was))
    return { reason: was.reason === 'no-identity' ? 'no-identity' : 'table-added', since: was.since };
  if (now.stored === 'all' && was.members !== now.members)
    return { reason: 'publication-changed', since: undefined };
  const isRewritten = !exact && was.columns !== now.columns && was.storage !== now.storage;
  return isRewritten && was.stored !== 'nothing'
    ? { reason: 'table-rewritten', since: undefined }
    : undefined;
}

/** Tables that lack the same stretch for the same reason, together. */
function stretches(
  missed: readonly (Missed & { readonly now: KnownTable })[],
  at: { readonly holdsUntil: Lsn; readonly to: Lsn },
): MissedStretch[] {
  const groups = Map.groupBy(missed, ({ reason, since }) => `${reason} ${since ?? ''}`);
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const from = first.since === undefined ? at.holdsUntil : lsnOf(first.since);
    return [{ reason: first.reason, from, to: at.to, tables: group.map(({ now }) => now) }];
  });
}

function nowKnown(
  table: CaptureTable,
  was: KnownTable | undefined,
  look: Pick<TableLook, 'allTables'> & { readonly since: Lsn },
): KnownTable {
  const { schema, name, members, columns, storage } = table;
  const level = storedOf(table, look.allTables);
  const known = { oid: Number(table.oid), schema, name, ...level, members, columns, storage };
  return level.stored === 'all' ? known : { ...known, since: was?.since ?? formatLsn(look.since) };
}

/** What the publications carry of a table now. */
function storedOf(table: CaptureTable, allTables: boolean): Pick<KnownTable, 'stored' | 'reason'> {
  if (table.persistence === 'u') return { stored: 'nothing', reason: 'unlogged' };
  if (!allTables && (!table.inRows || table.rowsFiltered))
    return { stored: 'nothing', reason: 'not-published' };
  if (table.identityProblem !== null) return { stored: 'inserts', reason: 'no-identity' };
  if (!table.inChanges || table.changesFiltered) return { stored: 'inserts', reason: 'not-published' };
  return { stored: 'all' };
}

/** A table that was not there lacked nothing. */
function rank(table: KnownTable | undefined): number {
  return table === undefined ? 2 : ['nothing', 'inserts', 'all'].indexOf(table.stored);
}

function isSameDefinition(one: KnownTable, other: KnownTable): boolean {
  return one.columns === other.columns && one.schema === other.schema && one.name === other.name;
}
