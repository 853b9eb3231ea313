import type { NotifyEvent } from '../monitor/notifier.ts';
import { NOTIFY } from './config-unattended.ts';
import { JobHistory } from './job-history.ts';
import type { Settings } from './settings.ts';

const PATIENCE_MS = 3000;

/** Notices that reached nobody stand in the job history, so that `status` tells of them. */
export class Undelivered {
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
    const signal = AbortSignal.any([AbortSignal.timeout(PATIENCE_MS), ...(isFailing ? [] : [this.#signal])]);
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
