import type { Manifest } from '../archive/manifest.ts';
import type { GapDocument } from '../archive/stream-documents.ts';
import type { Usability } from '../catalog/usability.ts';
import { hasRows, liesBetween, tableGaps } from '../catalog/window.ts';
import type { TableGap, UsableSnapshot } from '../catalog/window.ts';
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
  /** Only these tables are wanted; absent: all. */
  readonly scope?: ((table: { readonly schema: string; readonly name: string }) => boolean) | undefined;
}

export interface ChosenPoint {
  readonly kind: 'chosen';
  readonly stream: string;
  readonly stop: StopRule;
  /** The replay ends at a position between, both included. */
  readonly from: Lsn;
  readonly to: Lsn;
  readonly base: JudgedSnapshot & { readonly use: UsableSnapshot['use'] };
  /** Tables whose rows come from another snapshot, each with its own tie. */
  readonly replaced: readonly {
    readonly snapshot: JudgedSnapshot & { readonly use: UsableSnapshot['use'] };
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
 * Which snapshot and stream bring a target back: the newest whole snapshot that the target lies behind, in the first
 * stream that has passed the target, and no table has a gap in between. With a scope each wanted table comes from the
 * newest snapshot that has it.
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
    const gaps = tableGaps(facts.gaps, place.stream);
    const chosen = chooseSnapshots({ usable, gaps, to: located.to, scope: facts.scope });
    if (chosen === undefined) continue;
    if (chosen.inTheWay.length === 0) {
      const { base, replaced } = chosen;
      const scanFrom = replaced
        .map(({ snapshot }) => snapshot.use.scanFrom)
        .reduce((low, one) => (one < low ? one : low), base.use.scanFrom);
      const { stop, from, to } = located;
      return { kind: 'chosen', stream: place.stream, stop, from, to, base, replaced, scanFrom };
    }
    inTheWay.push(...chosen.inTheWay);
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

function chooseSnapshots(facts: {
  readonly usable: readonly Usable[];
  readonly gaps: readonly TableGap[];
  readonly to: Lsn;
  readonly scope: PointFacts['scope'];
}): (Pick<ChosenPoint, 'base' | 'replaced'> & { readonly inTheWay: readonly TableGap[] }) | undefined {
  const { usable, scope, to } = facts;
  const base = usable.find(({ manifest }) => manifest.scope.kind === 'whole') ?? scopedBase(usable, scope);
  if (base === undefined) return undefined;
  const tables = (base.manifest.scope.kind === 'whole' ? [base] : usable).flatMap(
    ({ manifest }) => manifest.tables,
  );
  const wanted = tables.filter((table) => scope === undefined || scope(table));
  const oids = new Set(wanted.map(({ oid }) => oid));
  const gaps = facts.gaps.filter((gap) => (scope === undefined ? true : oids.has(gap.oid) || scope(gap)));
  const concerned = new Set([...gaps.map(({ oid }) => oid), ...(scope === undefined ? [] : oids)]);
  const found = new Map<Usable, number[]>();
  const inTheWay: TableGap[] = [];
  for (const oid of concerned) {
    const between = (snapshot: Usable): TableGap[] =>
      gaps.filter((gap) => gap.oid === oid && liesBetween(gap, snapshot, to));
    if (scope === undefined) {
      inTheWay.push(...between(base));
      continue;
    }
    const snapshot = usable.find((one) => hasRows(one, oid) && between(one).length === 0);
    if (snapshot === undefined) inTheWay.push(...between(base));
    else if (snapshot !== base) found.set(snapshot, [...(found.get(snapshot) ?? []), oid]);
  }
  return { base, replaced: [...found].map(([snapshot, tables]) => ({ snapshot, tables })), inTheWay };
}

/** Without a whole snapshot some tables can still come back: from one that has them. */
function scopedBase(usable: readonly Usable[], scope: PointFacts['scope']): Usable | undefined {
  return scope === undefined
    ? undefined
    : usable.find(({ manifest }) =>
        manifest.tables.some((table) => table.data !== 'excluded' && scope(table)),
      );
}
