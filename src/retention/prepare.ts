import { readPruneMark } from '../catalog/leases.ts';
import { keys } from '../catalog/keys.ts';
import type { RecoveryWindow } from '../catalog/recovery-windows.ts';
import type { Repository } from '../catalog/repository.ts';
import type { Lsn } from '../model/lsn.ts';
import { checkPlan } from './check-plan.ts';
import { failedAttempt } from './failed-attempt.ts';
import { findLeftovers } from './leftovers.ts';
import type { Leftover } from './leftovers.ts';
import { planRetention } from './plan.ts';
import type { RetentionPlan, RetentionRules } from './plan.ts';
import { readFacts } from './read-facts.ts';
import type { ReadFacts } from './read-facts.ts';
import { readRemoval } from './stream-removal.ts';
import type { StreamRemoval } from './stream-removal.ts';

/** A snapshot that goes. */
export interface SnapshotRemoval {
  readonly id: string;
  /** The manifest first, so that it never half exists; then its signature, then data. */
  readonly keys: readonly string[];
  readonly bytes: number;
}

/** A plan, down to the objects. */
export interface PreparedPrune {
  readonly plan: RetentionPlan;
  readonly read: ReadFacts;
  readonly snapshots: readonly SnapshotRemoval[];
  readonly streams: readonly StreamRemoval[];
  readonly leftovers: readonly Leftover[];
  /** What can be restored to afterwards. */
  readonly windows: readonly RecoveryWindow[];
}

/** Where streams may be cut at the furthest, by their ids. One that is not named may be cut as the plan says. */
export type CutLimits = ReadonlyMap<string, Lsn>;

export interface PrepareOptions {
  readonly source: string;
  readonly rules: RetentionRules;
  readonly failedAttempt: string | undefined;
  readonly cutAtMost?: CutLimits | undefined;
  /** Milliseconds of the epoch. */
  readonly now: number;
  readonly signal: AbortSignal;
}

/** Reads, plans, and proves the plan on what it would leave. Changes nothing. */
export async function preparePrune(repository: Repository, options: PrepareOptions): Promise<PreparedPrune> {
  const { source, rules, signal } = options;
  const mark = await readPruneMark(repository.store, source, { signal });
  const halfGone = mark?.document.state === 'deleting' ? mark.document.snapshots : [];
  const read = await readFacts(repository, { ...options, changes: rules.changes, halfGone });
  const failed = options.failedAttempt ?? (await failedAttempt(repository, read.facts.snapshots, options));
  const plan = planRetention({ ...read.facts, failedAttempt: failed }, rules);
  const snapshots = plan.snapshots
    .filter(({ keep }) => !keep)
    .map(({ id }) => snapshotRemoval(source, id, read));
  const streams: StreamRemoval[] = [];
  for (const { id, cut } of plan.streams) {
    const view = read.history.streams.find((candidate) => candidate.id === id);
    if (view === undefined || cut === undefined) continue;
    const limit = options.cutAtMost?.get(id) ?? cut;
    const removal = await readRemoval(view, limit < cut ? limit : cut, { signal });
    if (removal !== undefined) streams.push(removal);
  }
  const doomed = new Set([...snapshots, ...streams].flatMap((removal) => removal.keys));
  const isDoomed = (key: string): boolean => doomed.has(key);
  const windows = await checkPlan(repository, plan, { read, isDoomed, source, signal });
  const leftovers = plan.refusals.length > 0 ? [] : await findLeftovers(repository, read, options);
  return { plan, read, snapshots, streams, leftovers, windows };
}

function snapshotRemoval(source: string, id: string, read: ReadFacts): SnapshotRemoval {
  const objects = read.folders.get(id) ?? [];
  const manifest = keys.manifest(source, id);
  const rank = (key: string): number => (key === manifest ? 0 : key === keys.signature(manifest) ? 1 : 2);
  return {
    id,
    keys: objects.map(({ key }) => key).sort((a, b) => rank(a) - rank(b)),
    bytes: objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}
