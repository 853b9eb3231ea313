/** One attempt at what was due, as the job history tells. Times are milliseconds of the epoch. */
export interface PastRun {
  readonly dueAt: number;
  readonly startedAt: number;
  /** Undefined: it did not end, by a kill or a lost machine. Whoever asks has none under way. */
  readonly end:
    | {
        readonly at: number;
        readonly outcome: 'done' | 'failed' | 'interrupted';
        readonly code: string | undefined;
      }
    | undefined;
}

export type RunReason =
  | 'scheduled'
  /** Nobody was there when it was due. */
  | 'missed'
  /** It had never run. */
  | 'first'
  | 'retry';

export type RunDecision =
  | { readonly kind: 'run'; readonly dueAt: number; readonly attempt: number; readonly reason: RunReason }
  /** Undefined: until it is due. */
  | { readonly kind: 'wait'; readonly until: number | undefined };

export interface RunFacts {
  readonly now: number;
  /** The latest time that it was due, at or before `now`. */
  readonly due: number | undefined;
  /** Of this schedule, in any order; at least back to the last one that was done. */
  readonly runs: readonly PastRun[];
  /** Since when somebody has looked at each minute. */
  readonly watchedSince: number;
  /** Pauses before another attempt, in milliseconds; none are left: it waits until it is due again. */
  readonly retries: readonly number[];
  /** Whether what has never run runs at once, so that it shows whether it works; else the first time that it is due. */
  readonly startsAtOnce: boolean;
}

/** Later than this, and it was missed: a restart at just the wrong moment is no news. */
const PUNCTUAL_MS = 5 * 60_000;

/**
 * Whether a schedule runs now. Judged from what is stored alone, so that a restart, a kill or a clock that stood
 * still make no difference: what was due and is not done is run, once, however often it was missed. Pure.
 */
export function decideRun(facts: RunFacts): RunDecision {
  const { now, due, retries } = facts;
  // From before the clock was set back: they must not stand for what is due only now.
  const runs = facts.runs.filter(({ dueAt }) => dueAt <= now);
  const [last] = newestFirst(runs);
  if (last === undefined) {
    const isDue = facts.startsAtOnce || (due !== undefined && due >= facts.watchedSince);
    return isDue
      ? { kind: 'run', dueAt: due ?? now, attempt: 1, reason: 'first' }
      : { kind: 'wait', until: undefined };
  }
  if (due !== undefined && due > last.dueAt) {
    const isMissed = due < facts.watchedSince && now - due > PUNCTUAL_MS;
    return { kind: 'run', dueAt: due, attempt: 1, reason: isMissed ? 'missed' : 'scheduled' };
  }
  if (last.end?.outcome === 'done') return { kind: 'wait', until: undefined };
  const again = {
    kind: 'run',
    dueAt: last.dueAt,
    attempt: runs.filter(({ dueAt }) => dueAt === last.dueAt).length + 1,
    reason: 'retry',
  } as const;
  // Whoever stopped it did not say that it can't be done; whoever has started us since may have mended what failed.
  const isFromBefore = last.end?.outcome === 'failed' && last.end.at < facts.watchedSince;
  if (last.end?.outcome === 'interrupted' || isFromBefore) return again;
  const failures = failuresInARow(runs.filter(({ dueAt }) => dueAt === last.dueAt));
  const pause = retries[failures - 1];
  if (pause === undefined || !mayPass(last.end?.code)) return { kind: 'wait', until: undefined };
  // A kill is followed at once, and counts: it may be the job's own fault, like running out of memory.
  const until = last.end === undefined ? now : last.end.at + pause;
  return now < until ? { kind: 'wait', until } : again;
}

/** Failed and killed runs since the last one that was done. */
export function failuresInARow(runs: readonly PastRun[]): number {
  const sorted = newestFirst(runs);
  const done = sorted.findIndex(({ end }) => end?.outcome === 'done');
  return sorted.slice(0, done === -1 ? undefined : done).filter(({ end }) => end?.outcome !== 'interrupted')
    .length;
}

/** Whether a schedule has failed for so often, or so finally, that somebody has to look. */
export function needsSomebody(runs: readonly PastRun[], retries: readonly number[]): boolean {
  const [last] = newestFirst(runs);
  const failures = failuresInARow(runs);
  if (last === undefined || failures === 0) return false;
  return failures > retries.length || (last.end?.outcome === 'failed' && !mayPass(last.end.code));
}

/** What is wrong with settings, keys, tools or stored bytes is so a minute later, too. */
function mayPass(code: string | undefined): boolean {
  return code === undefined || !/^(?:usage|config|key|tool|integrity|check)\./.test(code);
}

function newestFirst(runs: readonly PastRun[]): PastRun[] {
  return [...runs].sort((one, other) => other.startedAt - one.startedAt);
}
