import type { Lsn } from '../model/lsn.ts';
import { formatPeriod } from '../model/quantities.ts';
import { keptByRules } from './keep-rules.ts';
import type { KeepRules } from './keep-rules.ts';
import { basesOf, cutOf, futureBases, requiredWindows } from './plan-stream.ts';
import type { StreamFacts, StreamSnapshot } from './plan-stream.ts';
import type { Usability } from '../catalog/usability.ts';
import type { UsableSnapshot, Window } from '../catalog/window.ts';

/** What a repository keeps of a source, and for how long what goes stays after it was marked. */
export interface RetentionRules extends KeepRules {
  /** Milliseconds, counted back from the newest thing that is stored: every instant within stays restorable. */
  readonly changes?: number | undefined;
}

/** A complete snapshot by what a plan looks at. */
export interface SnapshotFacts {
  readonly manifest: UsableSnapshot['manifest'];
  /** Milliseconds of the epoch. */
  readonly instant: number;
  /** What is not there, or not as its manifest says; undefined: every object is, with its size. */
  readonly damage: string | undefined;
  readonly objects: number;
  readonly bytes: number;
  readonly use: Usability;
}

export interface RetentionFacts {
  readonly snapshots: readonly SnapshotFacts[];
  readonly streams: readonly StreamFacts[];
  /** Folders without a manifest, by id. */
  readonly unfinished: readonly string[];
  /** What the caller knows of the newest attempt at a snapshot, if it failed. */
  readonly failedAttempt?: string | undefined;
}

interface SnapshotDecision {
  readonly id: string;
  readonly keep: boolean;
  /** Why it stays; why it goes. */
  readonly reasons: readonly string[];
}

interface StreamDecision {
  readonly id: string;
  /** What lies before goes; undefined: nothing. */
  readonly cut: Lsn | undefined;
  readonly required: readonly Window[];
}

export interface RetentionPlan {
  readonly snapshots: readonly SnapshotDecision[];
  readonly streams: readonly StreamDecision[];
  /** Why nothing may go just now. */
  readonly refusals: readonly string[];
}

/**
 * What stays and what goes (P8), with the reason of each. A snapshot stays by a rule, because positions that must
 * stay are reached from it, because capture has not passed it yet, because it is the last whole one, or because it is
 * damaged: such a one counts for no rule, and is nobody's to remove but its owner's.
 */
export function planRetention(facts: RetentionFacts, rules: RetentionRules): RetentionPlan {
  const sound = facts.snapshots.filter(({ damage }) => damage === undefined);
  const reasons = new Map<string, string[]>();
  const keep = (id: string, why: string): void => {
    reasons.set(id, [...(reasons.get(id) ?? []), why]);
  };
  for (const group of groups(sound))
    for (const [id, why] of keptByRules(
      group.map(({ manifest, instant }) => ({ id: manifest.id, instant })),
      rules,
    ))
      for (const one of why) keep(id, one);
  const byRules = new Set(reasons.keys());
  for (const { manifest, damage, use } of facts.snapshots) {
    if (damage !== undefined) keep(manifest.id, `damaged: ${damage}`);
    else if (use.kind === 'waiting') keep(manifest.id, 'waits for capture to pass it');
  }
  const newest = newestWhole(sound);
  if (newest !== undefined) keep(newest.manifest.id, 'newest whole snapshot');
  const streams = facts.streams.map((stream) => {
    const snapshots = snapshotsOf(stream.id, sound);
    const required = requiredWindows(stream, snapshots, byRules);
    const bases = basesOf(required, stream, snapshots);
    for (const id of bases) keep(id, 'changes that stay are applied onto it');
    for (const id of futureBases(required, { ...stream, changes: rules.changes }, snapshots))
      keep(id, `changes of ${formatPeriod(rules.changes ?? 0)} will begin from it`);
    return { stream, snapshots, required, bases };
  });
  return {
    snapshots: facts.snapshots.map(({ manifest: { id } }) => {
      const why = reasons.get(id);
      return { id, keep: why !== undefined, reasons: why ?? ['no rule keeps it, and nothing needs it'] };
    }),
    streams: streams.map(({ stream, snapshots, required, bases }) => {
      const kept = snapshots.filter(({ manifest }) => reasons.has(manifest.id));
      return { id: stream.id, required, cut: cutOf(stream, kept, { required, bases }) };
    }),
    refusals: refusalsOf(facts, newest),
  };
}

/** Partial snapshots of one scope are a series of their own: none of them stands for the whole (I 56). */
function groups(snapshots: readonly SnapshotFacts[]): SnapshotFacts[][] {
  const byScope = new Map<string, SnapshotFacts[]>();
  for (const snapshot of snapshots) {
    const scope = JSON.stringify(snapshot.manifest.scope);
    byScope.set(scope, [...(byScope.get(scope) ?? []), snapshot]);
  }
  return [...byScope.values()];
}

function snapshotsOf(stream: string, snapshots: readonly SnapshotFacts[]): StreamSnapshot[] {
  return snapshots.flatMap(({ manifest, use, instant }) =>
    use.kind === 'usable' && use.stream === stream ? [{ manifest, use, instant }] : [],
  );
}

function newestWhole(snapshots: readonly SnapshotFacts[]): SnapshotFacts | undefined {
  return snapshots
    .filter(({ manifest }) => manifest.scope.kind === 'whole')
    .reduce<SnapshotFacts | undefined>(
      (newest, one) => (newest === undefined || one.manifest.id > newest.manifest.id ? one : newest),
      undefined,
    );
}

/** Never after a failed backup: what is old may be all that is good (FIELD: retention run after a bad backup). */
function refusalsOf(facts: RetentionFacts, newest: SnapshotFacts | undefined): string[] {
  if (newest === undefined) return ['there is no whole snapshot that is as it was stored'];
  const { id } = newest.manifest;
  const damaged = facts.snapshots.filter(({ damage, manifest }) => damage !== undefined && manifest.id > id);
  return [
    ...damaged.map(
      ({ manifest, damage }) => `snapshot ${manifest.id} is not as it was stored: ${damage ?? ''}`,
    ),
    ...facts.unfinished
      .filter((folder) => folder > id)
      .map((folder) => `snapshot ${folder} was begun after the newest whole one, and has not ended`),
    ...(facts.failedAttempt === undefined ? [] : [`the newest snapshot failed: ${facts.failedAttempt}`]),
  ];
}
