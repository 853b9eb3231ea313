import { windowsOf } from '../catalog/window.ts';
import type { TableGap, UsableSnapshot, Window } from '../catalog/window.ts';
import type { Stretch } from '../archive/stream-names.ts';
import type { Lsn } from '../model/lsn.ts';

/** A stream by what a plan looks at. */
export interface StreamFacts {
  readonly id: string;
  /** A newer stream has taken over. */
  readonly ended: boolean;
  /** A snapshot is tied to it that capture has not passed yet. */
  readonly isWaitedFor: boolean;
  /**
   * Where the window for changes begins: every commit before is too old. Behind the stream's end when all of it is;
   * undefined where no window is configured.
   */
  readonly changesFrom: Lsn | undefined;
  /** Chapters, and segments behind them, in order. */
  readonly entries: readonly Stretch[];
  readonly gaps: readonly TableGap[];
}

/** A snapshot that changes of this stream can be applied onto. */
export interface StreamSnapshot extends UsableSnapshot {
  readonly instant: number;
}

/**
 * The positions that must stay: all that can be restored now, from the beginning of the window for changes on. Without
 * one, from the oldest snapshot on that the rules keep; of a stream that grows and has none of those, from its oldest.
 */
export function requiredWindows(
  stream: StreamFacts,
  snapshots: readonly StreamSnapshot[],
  byRules: ReadonlySet<string>,
): Window[] {
  // One in the midst of a gap leads nowhere.
  const leading = snapshots.filter((snapshot) => windowsOf([snapshot], stream.gaps).length > 0);
  const ofRules = leading.filter(({ manifest }) => byRules.has(manifest.id));
  const from =
    stream.changesFrom ?? oldestUpper(ofRules) ?? (stream.ended ? undefined : oldestUpper(leading));
  if (from === undefined) return [];
  return windowsOf(snapshots, stream.gaps).flatMap((window) =>
    window.to < from ? [] : [{ from: window.from > from ? window.from : from, to: window.to }],
  );
}

/**
 * The snapshots from which the required positions are reached: for each position that none of them reaches yet, the
 * newest that does, so that as few changes as can be are kept. It looks at no rule but the window's beginning.
 */
export function basesOf(
  required: readonly Window[],
  stream: Pick<StreamFacts, 'gaps'>,
  snapshots: readonly StreamSnapshot[],
): Set<string> {
  const reach = snapshots.map((snapshot) => ({
    id: snapshot.manifest.id,
    windows: windowsOf([snapshot], stream.gaps),
  }));
  const bases = new Set<string>();
  for (const window of required) {
    for (let at = window.from; ;) {
      const [best] = reach
        .flatMap(({ id, windows }) =>
          windows
            .filter(({ from, to }) => from <= at && (to > at || at === window.to) && to >= at)
            .map(({ from, to }) => ({ id, from, to })),
        )
        .sort((a, b) => (a.from === b.from ? (a.id < b.id ? 1 : -1) : a.from < b.from ? 1 : -1));
      if (best === undefined) break;
      bases.add(best.id);
      if (best.to >= window.to) break;
      at = best.to;
    }
  }
  return bases;
}

/** Into how many parts the window for changes is cut, each of which keeps a snapshot. */
const PARTS_OF_WINDOW = 4;

/**
 * Snapshots that the window for changes will begin from when it has moved on: the newest in each quarter of its length.
 * Rules that keep fewer days than the window has would take away all of them before their time comes, and the
 * stream could never be cut.
 */
export function futureBases(
  required: readonly Window[],
  of: Pick<StreamFacts, 'gaps'> & { readonly changes: number | undefined },
  snapshots: readonly StreamSnapshot[],
): Set<string> {
  const start = required[0]?.from;
  if (start === undefined || of.changes === undefined) return new Set();
  const newest = new Map<number, StreamSnapshot>();
  for (const snapshot of snapshots) {
    if (snapshot.use.upper < start || windowsOf([snapshot], of.gaps).length === 0) continue;
    const part = Math.floor(snapshot.instant / (of.changes / PARTS_OF_WINDOW));
    const there = newest.get(part);
    if (there === undefined || there.use.upper < snapshot.use.upper) newest.set(part, snapshot);
  }
  return new Set([...newest.values()].map(({ manifest }) => manifest.id));
}

/**
 * Where a stream can begin, once only some snapshots are left: the last entry's beginning before which nobody reads.
 * What the window for changes holds stays, and so does the newest entry: capture goes on from it. Undefined: nothing can go.
 */
export function cutOf(
  stream: StreamFacts,
  kept: readonly StreamSnapshot[],
  of: { readonly required: readonly Window[]; readonly bases: ReadonlySet<string> },
): Lsn | undefined {
  const { entries, changesFrom, ended } = stream;
  const [first, last] = [entries[0], entries.at(-1)];
  if (first === undefined || last === undefined || stream.isWaitedFor) return undefined;
  const start = of.required[0]?.from;
  // The first snapshot of a stream that grows may be under way.
  if (!ended && start === undefined) return undefined;
  const needed = [
    ...kept
      .filter(({ manifest, use }) => start !== undefined && (of.bases.has(manifest.id) || use.upper >= start))
      .map(({ use }) => use.scanFrom),
    // A time is told from the commit before it: the run in front of the window's first one stays.
    ...(changesFrom === undefined ? [] : [changesFrom - 1n]),
  ].reduce<bigint>((least, one) => (one < least ? one : least), last.from);
  return entries.findLast(({ from }) => from <= needed && from > first.from)?.from;
}

/** The nearest beginning of an entry at or before a position that no stored object crosses. */
export function uncrossed(
  position: Lsn,
  entries: readonly Stretch[],
  objects: readonly Stretch[],
): Lsn | undefined {
  let at: Lsn | undefined = position;
  while (at !== undefined) {
    const here: Lsn = at;
    const crossing = objects.filter(({ from, to }) => from < here && here < to);
    if (crossing.length === 0) return here === entries[0]?.from ? undefined : here;
    const lowest = crossing.map(({ from }) => from).reduce((low, from) => (from < low ? from : low), here);
    at = entries.findLast(({ from }) => from <= lowest)?.from;
  }
  return undefined;
}

function oldestUpper(snapshots: readonly StreamSnapshot[]): Lsn | undefined {
  return snapshots
    .filter(({ manifest }) => manifest.scope.kind === 'whole')
    .map(({ use }) => use.upper)
    .reduce<Lsn | undefined>((low, one) => (low === undefined || one < low ? one : low), undefined);
}
