import type { Manifest } from '../archive/manifest.ts';
import type { GapDocument } from '../archive/stream-documents.ts';
import type { Usability } from '../catalog/usability.ts';
import { gapsOfWanted, hasAll, liesBetween, mayReplace, tableGaps } from '../catalog/window.ts';
import type { TableGap, UsableSnapshot, Wanted } from '../catalog/window.ts';
import type { Lsn } from '../model/lsn.ts';
import type { Located, StopRule } from './locate-target.ts';

/** A snapshot, what can be done with it, and in which repository it is. */
export interface JudgedSnapshot {
  readonly manifest: Pick<Manifest, 'id' | 'scope' | 'tables' | 'instant'>;
  readonly repository: string;
  readonly use: Usability;
}

/** The target's place in one stream. Streams come in the order in which they began. */
export interface StreamPlace {
  readonly stream: string;
  /** Server, timeline and database: positions of two streams compare only on the same. */
  readonly server: string;
  readonly start: Lsn;
  readonly end: Lsn;
  readonly located: Located;
}

export interface PointFacts {
  readonly places: readonly StreamPlace[];
  /** Newest first. */
  readonly snapshots: readonly JudgedSnapshot[];
  readonly gaps: readonly GapDocument[];
  /** The target is a time, which a clock that goes back lets pass twice. */
  readonly isTime: boolean;
  readonly wanted: Wanted;
}

export interface ChosenPoint {
  readonly kind: 'chosen';
  readonly stream: string;
  readonly stop: StopRule;
  /** The replay ends at a position between, both included. */
  readonly from: Lsn;
  readonly to: Lsn;
  /** Definitions and rows come from it. */
  readonly base: JudgedSnapshot & { readonly use: UsableSnapshot['use'] };
  /** Tables, by oid, whose rows come from a later snapshot: each has its own tie. */
  readonly replaced: readonly {
    readonly snapshot: ChosenPoint['base'];
    readonly tables: readonly number[];
  }[];
  /** The lowest position that changes are read from. */
  readonly scanFrom: Lsn;
}

export type PointChoice =
  | ChosenPoint
  | {
      readonly kind: 'none';
      /** Gaps of tables in the way of the best snapshot. */ readonly gaps: readonly TableGap[];
    };

type Usable = ChosenPoint['base'];

/**
 * Which snapshot and stream bring a target back: the newest snapshot that has all that is wanted and that the target
 * lies behind, in the first stream that has passed the target, and no wanted table has a gap in between. The rows of a
 * table with a gap may come from a later one.
 */
export function choosePoint(facts: PointFacts): PointChoice {
  const inTheWay: TableGap[] = [];
  for (const place of facts.places) {
    const { located } = place;
    if (located.kind !== 'found' || (facts.isTime && isSuperseded(place, facts.places))) continue;
    const usable = facts.snapshots.filter(
      (snapshot): snapshot is Usable =>
        snapshot.use.kind === 'usable' &&
        snapshot.use.stream === place.stream &&
        snapshot.use.upper <= located.from &&
        located.to <= snapshot.use.until,
    );
    const { stop, from, to } = located;
    const gaps = tableGaps(facts.gaps, place.stream);
    for (const base of usable.filter(({ manifest }) => hasAll(manifest, facts.wanted))) {
      const wanted = gapsOfWanted(gaps, base.manifest, facts.wanted);
      const { replaced, between } = rowsOf(base, { usable, gaps, wanted, to });
      if (between.length > 0) {
        inTheWay.push(...between);
        continue;
      }
      const scanFrom = [base, ...replaced.map(({ snapshot }) => snapshot)]
        .map(({ use }) => use.scanFrom)
        .reduce((low, one) => (one < low ? one : low));
      return { kind: 'chosen', stream: place.stream, stop, from, to, base, replaced, scanFrom };
    }
  }
  return { kind: 'none', gaps: inTheWay };
}

/**
 * A clock that went back between two streams lets a time be passed twice: history passed it first in the earlier
 * one, so the later one's point is not what was asked for. Streams that cover the same history don't object.
 */
function isSuperseded(place: StreamPlace, places: readonly StreamPlace[]): boolean {
  return places
    .slice(0, places.indexOf(place))
    .some(
      (earlier) =>
        earlier.located.kind !== 'beyond' && !(earlier.server === place.server && earlier.end > place.start),
    );
}

/** Which tables must come from a later snapshot than all else, and the gaps of those that are in none. */
function rowsOf(
  base: Usable,
  facts: {
    readonly usable: readonly Usable[];
    readonly gaps: readonly TableGap[];
    /** Those of wanted tables. */
    readonly wanted: readonly TableGap[];
    readonly to: Lsn;
  },
): { readonly replaced: ChosenPoint['replaced']; readonly between: readonly TableGap[] } {
  const isBetween = (gap: TableGap, snapshot: Usable): boolean => liesBetween(gap, snapshot, facts.to);
  const between: TableGap[] = [];
  const found = new Map<Usable, number[]>();
  const inTheWay = facts.wanted.filter((gap) => isBetween(gap, base));
  for (const [oid, ofTable] of Map.groupBy(inTheWay, (gap) => gap.oid)) {
    const later = facts.usable.find(
      (one) =>
        mayReplace(base, one, oid) && !facts.gaps.some((gap) => gap.oid === oid && isBetween(gap, one)),
    );
    if (later === undefined) between.push(...ofTable);
    else found.set(later, [...(found.get(later) ?? []), oid]);
  }
  return { replaced: [...found].map(([snapshot, tables]) => ({ snapshot, tables })), between };
}
