import { setTimeout as pause } from 'node:timers/promises';
import type { CaptureEvent } from '../capture/events.ts';
import { Failure, asFailure } from '../model/failure.ts';
import { Notifier } from '../monitor/notifier.ts';
import type { NotifyEvent } from '../monitor/notifier.ts';
import { Lane } from '../runtime/lane.ts';
import { captureJob } from './capture-job.ts';
import { CaptureTidings } from './capture-tidings.ts';
import { NOTIFY } from './config-unattended.ts';
import { JobHistory } from './job-history.ts';
import { notifyTargets } from './notify-targets.ts';
import type { FollowUpEvent } from './resnapshot.ts';
import { ScheduleRunner } from './schedule-runner.ts';
import type { ScheduleEvent, Tidings } from './schedule-runner.ts';
import type { Settings } from './settings.ts';

export type RunEvent =
  | CaptureEvent
  | FollowUpEvent
  | NotifyEvent
  | ScheduleEvent
  | { readonly kind: 'capture-ended'; readonly failure: Failure; readonly retryMs: number };

interface Unattended {
  readonly capture: boolean;
  readonly onEvent: (event: RunEvent) => void;
  readonly signal: AbortSignal;
}

const FIRST_RETRY_MS = 5000;
const LAST_RETRY_MS = 300_000;
const MINUTE_MS = 60_000;
/** Service managers wait for 10 s or more before they kill. */
const LAST_WORDS_MS = 3000;

/**
 * Captures, follows gaps and schedules, and tells who wants to know, until the signal: then what capture holds is stored and
 * confirmed, a job under way is broken off with nothing left that counts, and this returns. Fails only before anything has begun.
 */
export async function runUnattended(settings: Settings, run: Unattended): Promise<void> {
  const schedules = settings.config.schedules ?? [];
  if (!run.capture && schedules.length === 0)
    throw new Failure('usage.invalid', '--no-capture, and no schedules: there is nothing to do');
  await new Supervisor(settings, run, await notifyTargets(settings.config)).run();
}

class Supervisor {
  readonly #settings: Settings;
  readonly #run: Unattended;
  readonly #notifier: Notifier;
  readonly #undelivered: Undelivered;
  readonly #turn = new Turn();
  readonly #tidings = new CaptureTidings();
  /** One snapshot at a time: of a schedule, or because of a gap. Upkeep reads or removes what is stored. */
  readonly #lanes = { snapshot: new Lane(), upkeep: new Lane() };

  constructor(settings: Settings, run: Unattended, targets: ConstructorParameters<typeof Notifier>[0]) {
    this.#settings = settings;
    this.#run = run;
    this.#undelivered = new Undelivered(settings, run.signal);
    this.#notifier = new Notifier(targets, (event) => {
      run.onEvent(event);
      this.#undelivered.note(event);
    });
  }

  async run(): Promise<void> {
    const { capture } = this.#run;
    if (!capture) this.#turn.set(true);
    await Promise.all([...(capture ? [this.#capture()] : []), ...this.#runners().map((one) => one.run())]);
    await this.#notifier.close(LAST_WORDS_MS);
    await this.#undelivered.settled;
  }

  #runners(): ScheduleRunner[] {
    const { signal, onEvent } = this.#run;
    return (this.#settings.config.schedules ?? []).map(
      (schedule) =>
        new ScheduleRunner({
          settings: this.#settings.forSchedule({
            repository: schedule.repository,
            storageClass: schedule.job === 'snapshot' ? schedule.storageClass : undefined,
          }),
          schedule,
          lane: schedule.job === 'snapshot' ? this.#lanes.snapshot : this.#lanes.upkeep,
          turn: () => this.#turn.wait(signal),
          onEvent,
          tell: (tidings) => this.#tell([tidings]),
          recall: (subject, told) => this.#notifier.recall(subject, told),
          signal,
        }),
    );
  }

  /** Again and again, for as long as the signal lets it. */
  async #capture(): Promise<void> {
    const { signal, onEvent } = this.#run;
    const clock = setInterval(() => this.#tell(this.#tidings.lasting(Date.now())), MINUTE_MS);
    let wait = FIRST_RETRY_MS;
    try {
      while (!signal.aborted) {
        try {
          await captureJob(this.#settings, {
            resnapshot: true,
            exclusively: (act, stop) => this.#lanes.snapshot.run(act, stop),
            onEvent: (event) => {
              if (event.kind === 'streaming') wait = FIRST_RETRY_MS;
              this.#hear(event);
            },
            signal,
          });
        } catch (error) {
          if (signal.aborted) return;
          const failure = asFailure(error);
          onEvent({ kind: 'capture-ended', failure, retryMs: wait });
          this.#tell(this.#tidings.ended(failure));
          // Whatever keeps capture from running: snapshots are all the more wanted.
          this.#turn.set(true);
        }
        await pause(wait, undefined, { signal }).catch(() => undefined);
        wait = Math.min(2 * wait, LAST_RETRY_MS);
      }
    } finally {
      clearInterval(clock);
    }
  }

  #hear(event: CaptureEvent | FollowUpEvent): void {
    if (event.kind === 'standby') this.#turn.set(false);
    if (event.kind === 'streaming') this.#turn.set(true);
    this.#run.onEvent(event);
    this.#tell(this.#tidings.of(event, Date.now()));
  }

  #tell(all: readonly Tidings[]): void {
    for (const tidings of all)
      this.#notifier.tell({ ...tidings, source: this.#settings.sourceName, at: new Date() });
  }
}

/** Whose turn it is to follow the schedules: who streams from the slot, of all that run for a source. Nobody knows before capture has said something. */
class Turn {
  #ours = false;
  #come = Promise.withResolvers<void>();

  set(ours: boolean): void {
    if (ours) this.#come.resolve();
    else if (this.#ours) this.#come = Promise.withResolvers();
    this.#ours = ours;
  }

  /** Until it is ours, or the signal. Whether that had to be waited for. */
  async wait(signal: AbortSignal): Promise<boolean> {
    if (this.#ours) return false;
    const stopped = Promise.withResolvers<void>();
    const stop = (): void => stopped.resolve();
    signal.addEventListener('abort', stop);
    if (!signal.aborted) await Promise.race([this.#come.promise, stopped.promise]);
    signal.removeEventListener('abort', stop);
    return true;
  }
}

/** Notices that reached nobody stand in the job history, so that `status` tells of them. */
class Undelivered {
  readonly #history: JobHistory;
  readonly #signal: AbortSignal;
  #isFailing: boolean | undefined;
  settled: Promise<void> = Promise.resolve();

  constructor(settings: Settings, signal: AbortSignal) {
    this.#history = new JobHistory(settings, NOTIFY);
    this.#signal = signal;
  }

  /** Only when it changes: what works needs no record each time. */
  note(event: NotifyEvent): void {
    const isFailing = event.kind === 'not-told';
    if (this.#isFailing === isFailing) return;
    const isFirst = this.#isFailing === undefined;
    this.#isFailing = isFailing;
    this.settled = this.settled.then(() => this.#write(isFailing, isFirst)).catch(() => undefined);
  }

  async #write(isFailing: boolean, isFirst: boolean): Promise<void> {
    const signal = AbortSignal.any([
      AbortSignal.timeout(LAST_WORDS_MS),
      ...(isFailing ? [] : [this.#signal]),
    ]);
    if (isFirst) await this.#history.load(signal);
    const last = this.#history.runs.at(-1);
    if (!isFailing && last?.end?.outcome !== 'failed') return;
    const attempt = { job: 'notify', reason: 'scheduled', dueAt: Date.now(), attempt: 1 } as const;
    const id = await this.#history.begin(attempt, signal);
    await this.#history.end(
      id,
      isFailing ? { outcome: 'failed', code: 'notify.failed' } : { outcome: 'done' },
    );
  }
}
