import { formatWindow } from '../catalog/recovery-windows.ts';
import type { RecoveryWindow } from '../catalog/recovery-windows.ts';
import { hasAll } from '../catalog/window.ts';
import type { TableGap, Wanted } from '../catalog/window.ts';
import { formatCommitTime, parseCommitTime } from '../model/commit-time.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import { asLsn, formatLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import type { JudgedSnapshot, StreamPlace } from './plan-point.ts';
import { formatRecoveryTarget } from './target.ts';
import type { RecoveryTarget } from './target.ts';

interface RefusedPoint {
  readonly target: RecoveryTarget;
  readonly wanted: Wanted;
  readonly places: readonly StreamPlace[];
  readonly windows: readonly RecoveryWindow[];
  readonly snapshots: readonly JudgedSnapshot[];
  /** Of tables, in the way. */
  readonly gaps: readonly TableGap[];
}

interface NearestPoints {
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** Why a point can't be restored, and the nearest ones that can (P4, P5: never another one in its place). */
export function refusal(point: RefusedPoint): Failure {
  const { before, after } = nearestPoints(point);
  const nearest = [
    ...(before === undefined ? [] : [`before it ${before}`]),
    ...(after === undefined ? [] : [`after it ${after}`]),
  ];
  const target = formatRecoveryTarget(point.target);
  return new Failure('recovery.no_point', `${target} can’t be restored: ${reason(point)}`, {
    facts: { target, before, after, windows: point.windows.map(formatWindow) },
    remedy:
      nearest.length > 0
        ? `nearest points: ${nearest.join('; ')}`
        : point.windows.length > 0
          ? `what can be restored: ${point.windows.map((window) => `${start(window)} to ${end(window)}`).join('; ')}`
          : 'there is no recovery window yet: `tidemark list` shows what is there',
  });
}

function reason({ places, gaps, snapshots, wanted }: RefusedPoint): string {
  if (gaps.length > 0) {
    const tables = [...new Set(gaps.map((gap) => displayRelation(gap)))];
    return `changes of ${tables.slice(0, 10).join(', ')} are missing before it`;
  }
  if (!snapshots.some(({ manifest }) => hasAll(manifest, wanted)))
    return wanted.length === 0 ? 'there is no whole snapshot' : 'no snapshot has all of these tables';
  if (places.length === 0) return 'no change stream has it';
  const kinds = new Set(places.map(({ located }) => located.kind));
  if (kinds.has('found')) {
    const isWaiting = snapshots.some(({ use }) => use.kind === 'waiting');
    return `no usable snapshot lies before it${isWaiting ? '; one waits for capture to pass it' : ''}`;
  }
  if (kinds.has('missing') || kinds.size > 1) return 'it lies in a gap, which no change stream covers';
  return kinds.has('beyond')
    ? 'it lies beyond the tidemark, up to which changes are stored'
    : 'it lies before all that is stored';
}

/** As targets that can be given: times for a time, else positions. */
function nearestPoints({ target, places, windows, snapshots, wanted }: RefusedPoint): NearestPoints {
  if (target.kind === 'time') {
    const points = [
      ...windows.flatMap(edges),
      ...snapshots.filter(({ manifest }) => hasAll(manifest, wanted)).flatMap(ownPoint),
    ];
    const before = points.filter((point) => point.isEnd && point.time <= target.time);
    const after = points.filter((point) => point.isStart && point.time >= target.time);
    return {
      before: before.sort((a, b) => order(b.time, a.time))[0]?.text,
      after: after.sort((a, b) => order(a.time, b.time))[0]?.text,
    };
  }
  const cut = places.flatMap(({ located }) => (located.kind === 'found' ? [located.from] : []))[0];
  const position = target.kind === 'lsn' ? target.lsn : cut;
  if (position === undefined) {
    const last = windows.at(-1);
    return { before: last && end(last), after: undefined };
  }
  const before = windows.filter(({ to }) => to <= position).sort((a, b) => order(b.to, a.to))[0];
  const after = windows.filter(({ from }) => from >= position).sort((a, b) => order(a.from, b.from))[0];
  return { before: before && end(before), after: after && start(after) };
}

interface TimedPoint {
  readonly time: CommitTime;
  readonly text: string;
  readonly isStart: boolean;
  readonly isEnd: boolean;
}

function edges({ from, to, times }: RecoveryWindow): TimedPoint[] {
  if (times === undefined) return [];
  const point = (time: CommitTime, position: Lsn): Pick<TimedPoint, 'time' | 'text'> => ({
    time,
    text: `${formatCommitTime(time)} (${positionTarget(position)})`,
  });
  return [
    { ...point(times.from, from), isStart: true, isEnd: false },
    { ...point(times.to, to), isStart: false, isEnd: true },
  ];
}

/** A snapshot’s own instant, where changes can't be applied onto it. */
function ownPoint({ manifest, use }: JudgedSnapshot): TimedPoint[] {
  const time = parseCommitTime(manifest.instant);
  if (time === undefined || use.kind === 'usable') return [];
  return [{ time, text: `snapshot:${manifest.id} (${manifest.instant})`, isStart: true, isEnd: true }];
}

function start({ from, times }: RecoveryWindow): string {
  return `${positionTarget(from)}${times === undefined ? '' : ` (${formatCommitTime(times.from)})`}`;
}

function end({ to, times }: RecoveryWindow): string {
  return `${positionTarget(to)}${times === undefined ? '' : ` (${formatCommitTime(times.to)})`}`;
}

/** The target for: all that committed before a position. Targets include a commit that starts just there. */
function positionTarget(position: Lsn): string {
  return `lsn:${formatLsn(asLsn(position - 1n))}`;
}

function order(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
