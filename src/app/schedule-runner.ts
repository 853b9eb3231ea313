import { setTimeout as pause } from 'node:timers/promises';
import { Failure, asFailure } from '../model/failure.ts';
import type { Told } from '../monitor/notice-policy.ts';
import type { Lane } from '../runtime/lane.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { CronRule } from '../schedule/cron-rule.ts';
import { decideRun, needsSomebody } from '../schedule/decide-run.ts';
import type { RunDecision, RunReason } from '../schedule/decide-run.ts';
import type { Schedule } from './config-unattended.ts';
import { JobHistory } from './job-history.ts';
import type { AttemptEnd } from './job-history.ts';
import { runJob } from './scheduled-jobs.ts';
import type { Settings } from './settings.ts';
import { failed, recovered, succeeded } from './tidings.ts';
import type { Tidings } from './tidings.ts';

export type ScheduleEvent =
  | {
      readonly kind: 'job-begun';
      readonly schedule: string;
      readonly reason: RunReason;
      readonly dueAt: string;
      readonly attempt: number;
    }
  | {
      readonly kind: 'job-ended';
      readonly schedule: string;
      readonly outcome: 'done' | 'interrupted';
      readonly milliseconds: number;
      readonly snapshot: string | undefined;
    }
  | { readonly kind: 'job-failed'; readonly schedule: string; readonly failure: Failure }
  /** An earlier process began it, and did not end it. */
  | { readonly kind: 'job-killed'; readonly schedule: string; readonly startedAt: string }
  | { readonly kind: 'job-next'; readonly schedule: string; readonly at: string }
  | { readonly kind: 'history-unreadable'; readonly schedule: string; readonly failure: Failure };

interface RunnerOptions {
  /** Of the schedule's own repository. */
  readonly settings: Settings;
  readonly schedule: Schedule;
  /** Keeps jobs apart that must not run at once. */
  readonly lane: Lane;
  /** Until it is ours to act: while another process streams from the slot, its schedules are at work. True when that had to be waited for. */
  readonly turn: (signal: AbortSignal) => Promise<boolean>;
  readonly onEvent: (event: ScheduleEvent) => void;
  readonly tell: (tidings: Tidings) => void;
  /** What has been told of this schedule before this process began. */
  readonly recall: (subject: string, told: Told) => void;
  readonly signal: AbortSignal;
}

const MINUTE_MS = 60_000;
/** Later than this after a minute began, the machine was asleep. */
const ASLEEP_MS = 2 * MINUTE_MS;
/** Past the minute, so that a timer that fires early does not look too soon. */
const PAST_MS = 50;

/** Follows one schedule for as long as the process runs: looks each minute, and after each attempt, what the history says is due. */
export class ScheduleRunner {
  readonly #options: RunnerOptions;
  readonly #rule: CronRule;
  readonly #history: JobHistory;
  #watchedSince = 0;
  #isRead = false;
  #wasUnreadable = false;
  #next: number | undefined;

  constructor(options: RunnerOptions) {
    const { settings, schedule } = options;
    this.#options = options;
    this.#rule = new CronRule(schedule.cron, schedule.timezone);
    this.#history = new JobHistory(settings, schedule.name);
  }

  /** Until the signal; a job that is under way is broken off then. Never fails. */
  async run(): Promise<void> {
    const { signal, turn } = this.#options;
    this.#watchedSince = Date.now();
    while (!signal.aborted) {
      // Somebody else has been at work meanwhile.
      if (await turn(signal)) this.#isRead = false;
      const wait = await this.#look();
      if (wait > 0) await this.#rest(wait);
    }
  }

  /** Milliseconds until the next look. */
  async #look(): Promise<number> {
    const { signal } = this.#options;
    if (signal.aborted) return 0;
    if (!(await this.#read())) return untilNextMinute();
    await this.#history.settle();
    const now = Date.now();
    const decision = this.#decide(now);
    if (decision.kind === 'run') {
      await this.#attempt();
      return 0;
    }
    this.#announce(now);
    return Math.max(1, Math.min(untilNextMinute(), (decision.until ?? Infinity) - now));
  }

  #decide(now: number): RunDecision {
    const { schedule } = this.#options;
    return decideRun({
      now,
      due: this.#rule.latestDue(now),
      runs: this.#history.runs,
      watchedSince: this.#watchedSince,
      retries: schedule.retry,
      startsAtOnce: schedule.job === 'snapshot',
    });
  }

  /** False when the history can't be read: who does not know what was done must not do it over and over. */
  async #read(): Promise<boolean> {
    if (this.#isRead) return true;
    const { schedule, signal, onEvent, tell } = this.#options;
    const subject = schedule.name;
    try {
      await this.#history.load(signal);
    } catch (error) {
      if (signal.aborted) return false;
      const failure = asFailure(error);
      this.#wasUnreadable = true;
      onEvent({ kind: 'history-unreadable', schedule: subject, failure });
      tell(failed(subject, failure));
      return false;
    }
    this.#isRead = true;
    this.#tellOfBefore();
    return true;
  }

  /** What an earlier process has left, and may not have lived to tell. */
  #tellOfBefore(): void {
    const { schedule, onEvent, tell, recall } = this.#options;
    const subject = schedule.name;
    const { runs } = this.#history;
    const last = runs.at(-1);
    const isFailing = needsSomebody(runs, schedule.retry);
    if (this.#wasUnreadable && !isFailing) tell(recovered(subject, 'the repository can be read again'));
    this.#wasUnreadable = false;
    if (last === undefined) return;
    const { end } = last;
    if (end === undefined) {
      const startedAt = new Date(last.startedAt).toISOString();
      onEvent({ kind: 'job-killed', schedule: subject, startedAt });
      const message = `what was begun at ${startedAt} never ended: its process was killed`;
      if (isFailing) tell(failed(subject, new Failure('job.killed', message)));
    } else if (isFailing) {
      recall(subject, { open: true, at: new Map([[end.code ?? '', end.at]]) });
    }
  }

  /** When its turn has come, what is due is judged anew: waiting may have taken hours. */
  async #attempt(): Promise<void> {
    const { lane, signal } = this.#options;
    const act = async (): Promise<void> => {
      const decision = this.#decide(Date.now());
      if (decision.kind === 'run') await this.#do(decision);
    };
    // Fails only before its turn, by the signal: nothing has been begun then.
    await lane.run(act, signal).catch(() => undefined);
  }

  /** Never fails: what goes wrong is the attempt's outcome. */
  async #do({ dueAt, attempt, reason }: Extract<RunDecision, { kind: 'run' }>): Promise<void> {
    const { settings, schedule, signal, onEvent, tell } = this.#options;
    const started = performance.now();
    const due = new Date(dueAt).toISOString();
    if (reason === 'missed')
      tell(
        failed(
          schedule.name,
          new Failure('job.missed', `what was due at ${due} was not done; it is done now`),
        ),
      );
    onEvent({
      kind: 'job-begun',
      schedule: schedule.name,
      reason,
      dueAt: due,
      attempt,
    });
    let id: string | undefined;
    let end: AttemptEnd;
    let failure: Failure | undefined;
    try {
      id = await this.#history.begin({ job: schedule.job, dueAt, attempt, reason }, signal);
      await failpoint('run.job-begun');
      const { snapshot } = await runJob(settings, schedule, signal);
      await failpoint('run.job-done');
      end = { outcome: 'done', snapshot };
    } catch (error) {
      failure = asFailure(error);
      end = signal.aborted ? { outcome: 'interrupted' } : { outcome: 'failed', code: failure.code };
    }
    await this.#history.end(id, end);
    this.#report(end, { failure, milliseconds: performance.now() - started });
  }

  #report(
    { outcome, snapshot }: AttemptEnd,
    { failure, milliseconds }: { readonly failure: Failure | undefined; readonly milliseconds: number },
  ): void {
    const { schedule, onEvent, tell } = this.#options;
    const subject = schedule.name;
    if (outcome === 'failed' && failure !== undefined) {
      onEvent({ kind: 'job-failed', schedule: subject, failure });
      if (needsSomebody(this.#history.runs, schedule.retry)) tell(failed(subject, failure));
      return;
    }
    if (outcome !== 'failed')
      onEvent({ kind: 'job-ended', schedule: subject, outcome, milliseconds, snapshot });
    if (outcome !== 'done') return;
    const message = snapshot === undefined ? '' : `snapshot ${snapshot}`;
    tell(recovered(subject, message));
    tell(succeeded(subject, message));
  }

  #announce(now: number): void {
    const next = this.#rule.nextDue(now);
    if (next === undefined || next === this.#next) return;
    this.#next = next;
    const { schedule, onEvent } = this.#options;
    onEvent({ kind: 'job-next', schedule: schedule.name, at: new Date(next).toISOString() });
  }

  async #rest(milliseconds: number): Promise<void> {
    const { signal } = this.#options;
    const until = Date.now() + milliseconds;
    await pause(milliseconds, undefined, { signal }).catch(() => undefined);
    if (Date.now() > until + ASLEEP_MS) this.#watchedSince = Date.now();
  }
}

function untilNextMinute(): number {
  return MINUTE_MS - (Date.now() % MINUTE_MS) + PAST_MS;
}
