import { setTimeout as pause } from 'node:timers/promises';
import type { CaptureEvent } from '../capture/events.ts';
import { Failure, asFailure } from '../model/failure.ts';
import { Notifier } from '../monitor/notifier.ts';
import type { NotifyEvent } from '../monitor/notifier.ts';
import { Lane } from '../runtime/lane.ts';
import { captureJob } from './capture-job.ts';
import { CaptureTidings } from './capture-tidings.ts';
import { notifyTargets } from './notify-targets.ts';
import type { FollowUpEvent } from './resnapshot.ts';
import { ScheduleRunner } from './schedule-runner.ts';
import type { ScheduleEvent } from './schedule-runner.ts';
import type { Settings } from './settings.ts';
import type { Tidings } from './tidings.ts';
import { Turn } from './turn.ts';
import { Undelivered } from './undelivered.ts';

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
  /** Also when one of its works fails, which none should: then all of it ends, and whoever has started it starts it anew. */
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;
  readonly #notifier: Notifier;
  readonly #undelivered: Undelivered;
  readonly #turn = new Turn();
  readonly #tidings = new CaptureTidings();
  /** One snapshot at a time: of a schedule, or because of a gap. Upkeep reads or removes what is stored. */
  readonly #lanes = { snapshot: new Lane(), upkeep: new Lane() };

  constructor(settings: Settings, run: Unattended, targets: ConstructorParameters<typeof Notifier>[0]) {
    this.#settings = settings;
    this.#run = run;
    this.#signal = AbortSignal.any([run.signal, this.#over.signal]);
    this.#undelivered = new Undelivered(settings, this.#signal);
    this.#notifier = new Notifier(targets, (event) => {
      run.onEvent(event);
      this.#undelivered.note(event);
    });
  }

  async run(): Promise<void> {
    const { capture } = this.#run;
    if (!capture) this.#turn.set(true);
    const works = [...(capture ? [this.#capture()] : []), ...this.#runners().map((one) => one.run())];
    try {
      await Promise.all(works);
    } finally {
      this.#over.abort();
      await Promise.allSettled(works);
      await this.#notifier.close(LAST_WORDS_MS);
      await this.#undelivered.settled;
    }
  }

  #runners(): ScheduleRunner[] {
    const signal = this.#signal;
    const { onEvent } = this.#run;
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
    const signal = this.#signal;
    const { onEvent } = this.#run;
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
