import type { Finding } from '../model/finding.ts';
import { needsSomebody } from '../schedule/decide-run.ts';
import type { PastRun } from '../schedule/decide-run.ts';

/** What is known of one schedule. */
export interface ScheduleFacts {
  readonly name: string;
  /** From the last one that was done on. */
  readonly runs: readonly PastRun[];
  /** The latest time that it was due, at or before `now`. */
  readonly due: number | undefined;
  readonly retries: readonly number[];
  readonly startsAtOnce: boolean;
}

/** Before this a job may wait for its turn, or for another attempt. */
const LATE_MS = 3_600_000;

/** What is wrong with a schedule, for `status`. Pure. */
export function scheduleFindings({ name, runs, due, ...rest }: ScheduleFacts, now: number): Finding[] {
  const check = 'status.schedule';
  const last = runs.at(-1);
  if (needsSomebody(runs, rest.retries))
    return [
      {
        level: 'error',
        check,
        message: `${name}: ${last?.end === undefined ? 'was killed' : `failed (${last.end.code ?? 'unknown'})`}, and is not tried again before it is due`,
        remedy: 'see what `tidemark run` says of it; started again, it tries at once',
      },
    ];
  const isBehind = due !== undefined && now - due > LATE_MS && (last?.dueAt ?? 0) < due;
  if (last === undefined ? rest.startsAtOnce : isBehind)
    return [
      {
        level: 'error',
        check,
        message: last === undefined ? `${name} has never run` : `${name} was not done when it was due`,
        remedy: 'start `tidemark run`: it catches up',
      },
    ];
  return [];
}
