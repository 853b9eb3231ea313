import { lsnOf } from '../archive/run-document.ts';
import type { Manifest } from '../archive/manifest.ts';
import type { GapDocument } from '../archive/stream-documents.ts';
import type { Lsn } from '../model/lsn.ts';
import type { Usability } from './usability.ts';

/** A snapshot that changes can be applied onto. */
export interface UsableSnapshot {
  readonly manifest: Pick<Manifest, 'id' | 'scope' | 'tables'>;
  readonly use: Extract<Usability, { kind: 'usable' }>;
}

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

/** Whether a snapshot has a table's rows. */
export function hasRows(snapshot: UsableSnapshot, oid: number): boolean {
  return snapshot.manifest.tables.some((table) => table.oid === oid && table.data !== 'excluded');
}

/** Whether a gap lies between what a snapshot shows and a later position. */
export function liesBetween(gap: TableGap, snapshot: UsableSnapshot, position: Lsn): boolean {
  return gap.from < position && (gap.to === undefined || gap.to > snapshot.use.scanFrom);
}

/**
 * Where the whole source can be restored to in one stream. Each whole snapshot opens the stretch from its `upper` to
 * its `until`; a gap of a table closes what follows it, until a newer whole snapshot: a restore takes all from one.
 */
export function windowsOf(snapshots: readonly UsableSnapshot[], gaps: readonly TableGap[]): Window[] {
  const open = snapshots
    .filter(({ manifest }) => manifest.scope.kind === 'whole')
    .flatMap((snapshot) => {
      const { upper, until } = snapshot.use;
      return gaps
        .filter((gap) => liesBetween(gap, snapshot, until))
        .reduce<Window[]>(
          (windows, gap) => windows.flatMap((window) => upTo(window, gap.from)),
          upper <= until ? [{ from: upper, to: until }] : [],
        );
    });
  return merged(open);
}

/** A window without what lies after a position. */
function upTo(window: Window, position: Lsn): Window[] {
  if (window.from > position) return [];
  return [{ from: window.from, to: position < window.to ? position : window.to }];
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
