import { formatCommitTime } from '../model/commit-time.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';

/** What can be restored: stretches of time, and snapshots' own instants. */
export interface Restorable {
  readonly windows: readonly { readonly from: CommitTime; readonly to: CommitTime }[];
  readonly snapshots: readonly string[];
}

/**
 * A restore's target at random: any microsecond of the windows alike, however many they are; where there is no window,
 * any snapshot. `random`: from 0 up to 1. Fails with `recovery.no_point` where there is nothing to restore.
 */
export function pickRandomPoint({ windows, snapshots }: Restorable, random: number): string {
  const length = windows.reduce((sum, { from, to }) => sum + (to - from + 1n), 0n);
  if (length > 0n) {
    let at = (length * BigInt(Math.floor(random * 2 ** 32))) >> 32n;
    for (const { from, to } of windows) {
      if (at <= to - from) return formatCommitTime(from + at);
      at -= to - from + 1n;
    }
  }
  const snapshot = snapshots[Math.floor(random * snapshots.length)];
  if (snapshot === undefined)
    throw new Failure('recovery.no_point', 'there is no snapshot and no window to restore from');
  return `snapshot:${snapshot}`;
}
