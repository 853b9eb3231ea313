import type { Opener } from '../archive/age.ts';
import { readingBetween } from '../catalog/reading.ts';
import type { Reading } from '../catalog/reading.ts';
import { readManifests, recoveryWindows } from '../catalog/recovery-windows.ts';
import type { Repository } from '../catalog/repository.ts';
import { readManifest } from '../catalog/snapshots.ts';
import { judgeIn, openHistory } from '../catalog/source-history.ts';
import type { SourceHistory } from '../catalog/source-history.ts';
import { hasAll } from '../catalog/window.ts';
import type { Wanted } from '../catalog/window.ts';
import { streamTip } from '../catalog/stream-tip.ts';
import { limitedBefore } from '../catalog/tables.ts';
import type { LimitedTable } from '../catalog/tables.ts';
import type { StreamTip } from '../catalog/stream-tip.ts';
import { parseCommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import { exactStop, needsExactStop } from './exact-stop.ts';
import { choosePoint } from './plan-point.ts';
import type { ChosenPoint, JudgedSnapshot, PointChoice, StreamPlace } from './plan-point.ts';
import { placeTarget } from './place-target.ts';
import type { PlacedTarget } from './place-target.ts';
import { refusal } from './refusal.ts';
import type { RecoveryTarget } from './target.ts';

/** How a target is brought back. */
export interface RecoveryPlan {
  readonly target: RecoveryTarget;
  readonly snapshot: Pick<JudgedSnapshot, 'repository'> & { readonly id: string; readonly instant: string };
  /** Absent: the snapshot's own instant is the target. */
  readonly replay?: ChosenPoint & {
    /** Location of the repository that the stream is read from. */
    readonly repository: string;
    readonly reading: Reading;
    /** How far the stream is known: what a replay that meets no later commit goes by. */
    readonly reach: StreamTip;
    /** Tables of which some changes before the point are missing: nobody published them. */
    readonly limited: readonly LimitedTable[];
  };
}

export interface PlanOptions {
  readonly source: string;
  readonly target: RecoveryTarget;
  /** Only these tables; absent: all. */
  readonly wanted?: Wanted;
  /** For times and `xid:` in an encrypted stream. */
  readonly opener: Opener | undefined;
  readonly signal: AbortSignal;
}

/**
 * Plans a recovery from all repositories of a source together. Fails with `recovery.no_point`, which names the
 * nearest points before and after that can be restored, `recovery.ambiguous`, or `integrity.*`.
 */
export async function planRecovery(
  repositories: readonly Repository[],
  options: PlanOptions,
): Promise<RecoveryPlan> {
  const { target, wanted = [] } = options;
  const history = await openHistory(repositories, options);
  if (target.kind === 'snapshot') return planSnapshot(history, target, options);
  let places = await placeTarget(history, target, { ...options, repositories });
  const facts = { gaps: history.gaps, isTime: target.kind === 'time', wanted };
  const read: JudgedSnapshot[] = [];
  let choice: PointChoice = { kind: 'none', gaps: [] };
  for (const { repository, id } of history.snapshots) {
    const { document } = await readManifest(repository, { source: history.source, id }, options);
    const use = await judgeIn(history, document);
    read.push({ manifest: document, repository: repository.store.location, use });
    places = await exactPlaces(history, places, { ...options, read });
    choice = choosePoint({ ...facts, places, snapshots: read });
    if (choice.kind === 'chosen') break;
    // Without a stream nothing older is later.
    if (places.length === 0 && target.kind === 'latest' && hasAll(document, wanted)) break;
  }
  const own = await ownInstant(history, { target, choice, wanted, read });
  if (own !== undefined) return { target, snapshot: named(own) };
  if (choice.kind === 'chosen') return planReplay(history, choice, options);
  const { windows } = await recoveryWindows(history, await readManifests(history, options), wanted);
  throw refusal({ target, wanted, places, windows, snapshots: read, gaps: choice.gaps });
}

/** The places of a target, exact where a snapshot that was read makes that matter. */
async function exactPlaces(
  history: SourceHistory,
  places: readonly StreamPlace[],
  options: PlanOptions & { readonly read: readonly JudgedSnapshot[] },
): Promise<StreamPlace[]> {
  const known = { snapshots: options.read, gaps: history.gaps };
  const found: StreamPlace[] = [];
  for (const place of places) {
    const view = history.streams.find(({ id }) => id === place.stream);
    const isEnough = view === undefined || !needsExactStop(place, known);
    found.push(isEnough ? place : await exactStop(view, place, options));
  }
  return found;
}

async function planSnapshot(
  history: SourceHistory,
  target: Extract<RecoveryTarget, { kind: 'snapshot' }>,
  options: PlanOptions,
): Promise<RecoveryPlan> {
  const found = history.snapshots.find(({ id }) => id === target.id);
  if (found === undefined)
    throw new Failure('recovery.no_point', `no snapshot ${target.id} of source ${history.source}`, {
      facts: { source: history.source, snapshot: target.id },
    });
  const { document } = await readManifest(
    found.repository,
    { source: history.source, id: target.id },
    options,
  );
  const { id, instant } = document;
  return { target, snapshot: { id, instant, repository: found.repository.store.location } };
}

/**
 * A snapshot that is the target as it is: of the very time asked for; or, for `latest`, the newest one when it shows
 * more than the streams have. Capture that stopped three days ago must not take three days from a restore.
 */
async function ownInstant(
  history: SourceHistory,
  facts: {
    readonly target: PlacedTarget;
    readonly choice: PointChoice;
    readonly wanted: Wanted;
    readonly read: readonly JudgedSnapshot[];
  },
): Promise<JudgedSnapshot | undefined> {
  const { target, choice, wanted, read } = facts;
  const fit = read.filter(({ manifest }) => hasAll(manifest, wanted));
  if (target.kind === 'time' && choice.kind === 'none')
    return fit.find(({ manifest }) => parseCommitTime(manifest.instant) === target.time);
  const [newest] = fit;
  if (target.kind !== 'latest' || newest === undefined) return undefined;
  if (choice.kind === 'none') return choice.gaps.length === 0 ? newest : undefined;
  if (newest.use.kind === 'usable' && newest.use.stream === choice.stream) return undefined;
  const view = history.streams.find(({ id }) => id === choice.stream);
  const latest = view === undefined ? undefined : (await streamTip(view)).latestCommitTime;
  const instant = parseCommitTime(newest.manifest.instant);
  return latest === undefined || (instant !== undefined && instant > latest) ? newest : undefined;
}

async function planReplay(
  history: SourceHistory,
  choice: ChosenPoint,
  { target, signal }: Pick<PlanOptions, 'target' | 'signal'>,
): Promise<RecoveryPlan> {
  const view = history.streams.find(({ id }) => id === choice.stream);
  if (view === undefined) throw new TypeError('a chosen stream is one of the history');
  const reading = await readingBetween(view, choice.scanFrom, choice.to);
  const reach = await streamTip(view);
  const { location } = view.repository.store;
  const at = { source: history.source, stream: view.id };
  const limited = await limitedBefore(view.repository, at, { position: choice.to, signal });
  return {
    target,
    snapshot: named(choice.base),
    replay: { ...choice, repository: location, reading, reach, limited },
  };
}

function named({ manifest, repository }: JudgedSnapshot): RecoveryPlan['snapshot'] {
  return { id: manifest.id, instant: manifest.instant, repository };
}
