import { throwIfAborted } from '../model/failure.ts';

/** Lets one act at a time, in the order in which they came. */
export class Lane {
  #last: Promise<unknown> = Promise.resolve();

  /** Fails with `interrupted` when the signal fires before its turn; an act under way must heed it itself. */
  run<T>(act: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const turn = this.#last.then(() => {
      throwIfAborted(signal);
      return act();
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
