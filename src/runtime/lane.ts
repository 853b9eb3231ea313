import { interruption, throwIfAborted } from '../model/failure.ts';

/** Lets one act at a time, in the order in which they came. */
export class Lane {
  #last: Promise<void> = Promise.resolve();

  /** Fails with `interrupted` as soon as the signal fires before its turn; an act under way must heed it itself. */
  async run<T>(act: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const before = this.#last;
    const done = Promise.withResolvers<void>();
    this.#last = before.then(() => done.promise);
    try {
      await orAborted(before, signal);
      return await act();
    } finally {
      done.resolve();
    }
  }
}

async function orAborted(awaited: Promise<void>, signal: AbortSignal): Promise<void> {
  throwIfAborted(signal);
  const aborted = Promise.withResolvers<never>();
  const stop = (): void => aborted.reject(interruption(signal));
  signal.addEventListener('abort', stop);
  try {
    await Promise.race([awaited, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
