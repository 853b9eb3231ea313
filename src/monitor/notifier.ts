import { setTimeout as pause } from 'node:timers/promises';
import { Failure, asFailure } from '../model/failure.ts';
import { admitNotice } from './notice-policy.ts';
import type { Told } from './notice-policy.ts';
import type { Notice } from './notice.ts';

/** Who is told. */
export interface NoticeTarget {
  /** For logs: without what opens a door, as a webhook's path does. */
  readonly name: string;
  /** Recoveries go with failures. */
  readonly on: readonly ('failure' | 'success')[];
  /** Fails with whatever went wrong, or when the signal fires. */
  send(notice: Notice, signal: AbortSignal): Promise<void>;
}

export type NotifyEvent =
  | { readonly kind: 'told'; readonly target: string; readonly notice: Notice }
  | {
      readonly kind: 'not-told';
      readonly target: string;
      readonly notice: Notice;
      readonly failure: Failure;
    };

const PATIENCE_MS = 20_000;
const RETRIES_MS = [1000, 5000, 30_000];

/** Sends notices, each to all who want it, one after another. Never fails and never waits for anyone: what did not go is an event. */
export class Notifier {
  readonly #targets: readonly NoticeTarget[];
  readonly #onEvent: (event: NotifyEvent) => void;
  readonly #retries: readonly number[];
  readonly #told = new Map<string, Told>();
  readonly #over = new AbortController();
  #sending: Promise<unknown> = Promise.resolve();

  /** `retries`: pauses before another attempt, in milliseconds. */
  constructor(
    targets: readonly NoticeTarget[],
    onEvent: (event: NotifyEvent) => void,
    retries: readonly number[] = RETRIES_MS,
  ) {
    this.#targets = targets;
    this.#onEvent = onEvent;
    this.#retries = retries;
  }

  /** What was told before this process began. */
  recall(subject: string, told: Told): void {
    this.#told.set(subject, told);
  }

  tell(notice: Notice): void {
    const { send, told } = admitNotice(notice, this.#told.get(notice.subject));
    this.#told.set(notice.subject, told);
    if (!send) return;
    const wants = notice.kind === 'success' ? 'success' : 'failure';
    for (const target of this.#targets)
      if (notice.kind === 'test' || target.on.includes(wants))
        this.#sending = this.#sending.then(() => this.#deliver(target, notice));
  }

  /** Until all is sent; after `milliseconds`, if given, what is left is given up. */
  async close(milliseconds?: number): Promise<void> {
    const giveUp = (): void => this.#over.abort();
    const timer = milliseconds === undefined ? undefined : setTimeout(giveUp, milliseconds);
    await this.#sending;
    clearTimeout(timer);
  }

  async #deliver(target: NoticeTarget, notice: Notice): Promise<void> {
    let failure: Failure | undefined;
    for (const wait of [0, ...this.#retries]) {
      if (wait > 0) await pause(wait, undefined, { signal: this.#over.signal }).catch(() => undefined);
      if (failure !== undefined && this.#over.signal.aborted) break;
      try {
        await inTime(target, notice, this.#over.signal);
        this.#onEvent({ kind: 'told', target: target.name, notice });
        return;
      } catch (error) {
        failure = asFailure(error);
      }
    }
    failure ??= new Failure('notify.failed', `${target.name} was not told`);
    this.#onEvent({ kind: 'not-told', target: target.name, notice, failure });
  }
}

/** Whether or not the target heeds the signal. */
async function inTime(target: NoticeTarget, notice: Notice, over: AbortSignal): Promise<void> {
  const signal = AbortSignal.any([over, AbortSignal.timeout(PATIENCE_MS)]);
  const late = Promise.withResolvers<never>();
  const give = (): void => late.reject(new Failure('notify.failed', `${target.name} did not answer in time`));
  signal.addEventListener('abort', give);
  try {
    await Promise.race([target.send(notice, signal), late.promise]);
  } finally {
    signal.removeEventListener('abort', give);
  }
}
