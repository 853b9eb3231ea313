import { lsnOf } from '../archive/run-document.ts';
import type { Manifest } from '../archive/manifest.ts';
import type { GapDocument } from '../archive/stream-documents.ts';
import type { RelationName } from '../model/identifiers.ts';
import type { Lsn } from '../model/lsn.ts';
import type { Usability } from './usability.ts';

/** A snapshot that changes can be applied onto. */
export interface UsableSnapshot {
  readonly manifest: Pick<Manifest, 'id' | 'scope' | 'tables'>;
  readonly use: Extract<Usability, { kind: 'usable' }>;
}

interface NamedTable extends RelationName {
  /** The partitioned tables that it is a partition of. */
  readonly partitionOf?: readonly RelationName[];
}

/** What is wanted back: one for each name or pattern that was given. Empty: everything. */
export type Wanted = readonly ((table: NamedTable) => boolean)[];

/** Positions that a stream can be restored to; both ends are such. A position stands for: what committed before it. */
export interface Window {
  readonly from: Lsn;
  readonly to: Lsn;
}

/** A stretch in which one table's changes are not stored. */
export interface TableGap {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** Everything before is stored. */
  readonly from: Lsn;
  /** From here on it is stored again; undefined: it is not, on this stream. */
  readonly to: Lsn | undefined;
}

/** Gaps of single tables in a stream, one for each table. A gap without an end on the stream does not end on it. */
export function tableGaps(gaps: readonly GapDocument[], stream: string): TableGap[] {
  return gaps
    .filter((gap) => gap.stream === stream)
    .flatMap(({ tables = [], from, to }) =>
      tables.map((table) => ({
        ...table,
        from: lsnOf(from.lsn),
        to: to?.stream === stream ? lsnOf(to.lsn) : undefined,
      })),
    );
}

export function isWanted(wanted: Wanted, table: NamedTable): boolean {
  return wanted.length === 0 || wanted.some((names) => names(table));
}

/**
 * Whether a snapshot has all that is wanted. A partial one lists the tables that it has no rows of, too: so it is known
 * what a pattern would have meant. Unlogged tables have rows in none.
 */
export function hasAll({ scope, tables }: UsableSnapshot['manifest'], wanted: Wanted): boolean {
  if (scope.kind === 'whole') return true;
  const isThere = (table: (typeof tables)[number]): boolean =>
    table.data !== 'excluded' || table.persistence === 'unlogged';
  return (
    wanted.length > 0 &&
    wanted.every((names) => tables.some((table) => names(table))) &&
    tables.every((table) => isThere(table) || !isWanted(wanted, table))
  );
}

/**
 * Those of gaps that concern what is wanted of a snapshot. A table that it does not list was made later: it may be a
 * partition of one that is wanted, which its name does not tell.
 */
export function gapsOfWanted(
  gaps: readonly TableGap[],
  { tables }: UsableSnapshot['manifest'],
  wanted: Wanted,
): TableGap[] {
  if (wanted.length === 0) return [...gaps];
  const known = new Map(tables.map((table) => [table.oid, table]));
  const hasPartitions = tables.some((table) => table.kind === 'partition' && isWanted(wanted, table));
  return gaps.filter((gap) => {
    const table = known.get(gap.oid);
    return table === undefined ? hasPartitions || isWanted(wanted, gap) : isWanted(wanted, table);
  });
}

/** Whether a gap lies between what a snapshot shows and a later position. */
export function liesBetween(gap: TableGap, snapshot: UsableSnapshot, position: Lsn): boolean {
  return gap.from < position && (gap.to === undefined || gap.to > snapshot.use.scanFrom);
}

/**
 * Whether a table's rows may come from another snapshot than all else: one taken later, that has it under the same name and
 * just as it was made for the first one's rows. Of what is in between nothing is needed for it then. Rows within a dump can't be parted.
 */
export function mayReplace(base: UsableSnapshot, other: UsableSnapshot, oid: number): boolean {
  if (other === base || other.use.upper < base.use.upper) return false;
  const [one, two] = [base, other].map(({ manifest }) => manifest.tables.find((table) => table.oid === oid));
  return (
    one?.data === 'included' &&
    two?.data === 'included' &&
    one.definition !== undefined &&
    one.definition === two.definition
  );
}

/**
 * Where all that is wanted can be restored to in one stream. Each snapshot that has it opens the stretch from its
 * `upper` to its `until`; a gap of a wanted table closes what follows it, until a newer such snapshot, or one that has
 * the table's own rows (`mayReplace`).
 */
export function windowsOf(
  snapshots: readonly UsableSnapshot[],
  gaps: readonly TableGap[],
  wanted: Wanted = [],
): Window[] {
  const open = snapshots
    .filter(({ manifest, use }) => hasAll(manifest, wanted) && use.upper <= use.until)
    .flatMap((base) => {
      const { upper, until } = base.use;
      const closed = gapsOfWanted(gaps, base.manifest, wanted).filter((gap) => liesBetween(gap, base, until));
      return [...new Set(closed.map(({ oid }) => oid))].reduce<Window[]>(
        (windows, oid) => common(windows, windowsOfTable(base, { snapshots, gaps, oid })),
        [{ from: upper, to: until }],
      );
    });
  return merged(open);
}

/** Where one table's rows can be had together with all else of a snapshot: from it, or from a later one. */
function windowsOfTable(
  base: UsableSnapshot,
  facts: {
    readonly snapshots: readonly UsableSnapshot[];
    readonly gaps: readonly TableGap[];
    readonly oid: number;
  },
): Window[] {
  const { oid } = facts;
  const gaps = facts.gaps.filter((gap) => gap.oid === oid);
  const open = facts.snapshots
    .filter((snapshot) => snapshot === base || mayReplace(base, snapshot, oid))
    .flatMap((snapshot): Window[] => {
      const { upper, until } = snapshot.use;
      const end = gaps
        .filter((gap) => liesBetween(gap, snapshot, until))
        .reduce((least, { from }) => (from < least ? from : least), until);
      return end < upper ? [] : [{ from: upper, to: end }];
    });
  return merged(open);
}

/** What lies in a window of both; each list is in order and without overlaps. */
function common(some: readonly Window[], others: readonly Window[]): Window[] {
  return some.flatMap((one) =>
    others.flatMap((other): Window[] => {
      const from = one.from > other.from ? one.from : other.from;
      const to = one.to < other.to ? one.to : other.to;
      return from <= to ? [{ from, to }] : [];
    }),
  );
}

function merged(windows: readonly Window[]): Window[] {
  const found: Window[] = [];
  for (const window of [...windows].sort((a, b) => ascending(a.from, b.from))) {
    const last = found.at(-1);
    if (last === undefined || last.to < window.from) found.push(window);
    else found[found.length - 1] = { from: last.from, to: last.to > window.to ? last.to : window.to };
  }
  return found;
}

function ascending(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
