import type { BegunSnapshot, FollowUp } from './follow-up.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A migration is many statements: its end is waited for. */
const DEBOUNCE_MS = 600_000;
/** Gaps may want four a day: some are left to them. */
const MOST_A_DAY = 2;
/** As for gaps: an unfinished one may still be running. */
const RUNNING_MS = 15 * 60_000;

/**
 * Whether a schema change wants a snapshot, and when: a restore from behind it need not repeat the change, which no
 * stream carries whole (REPLICATION E4). Ten minutes after the last one, an hour behind any other snapshot, two a day with all
 * others; what can't be taken now is no alert. Gaps go first. Pure; times are milliseconds of the epoch.
 */
export function decideSchemaSnapshot(facts: {
  readonly now: number;
  /** The last change that was noticed in the newest stream. */
  readonly changedAt: number | undefined;
  readonly snapshots: readonly BegunSnapshot[];
}): FollowUp {
  const { now, changedAt, snapshots } = facts;
  const whole = snapshots.filter(({ complete }) => complete?.whole === true);
  // The first snapshot is somebody's decision.
  if (changedAt === undefined || whole.length === 0 || whole.some(({ begunAt }) => begunAt >= changedAt))
    return { kind: 'none' };
  const begun = snapshots.map(({ begunAt }) => begunAt).sort((a, b) => b - a);
  const unfinished = snapshots.filter(({ complete }) => complete === undefined);
  const until = Math.max(
    changedAt + DEBOUNCE_MS,
    (begun[0] ?? 0) + HOUR_MS,
    (begun[MOST_A_DAY - 1] ?? -DAY_MS) + DAY_MS,
    ...unfinished.map(({ activeAt }) => activeAt + RUNNING_MS),
  );
  return until > now ? { kind: 'wait', until, gaps: [] } : { kind: 'take', gaps: [] };
}
