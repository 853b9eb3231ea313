/** Whose turn it is to follow the schedules: who streams from the slot, of all that run for a source. Nobody knows before capture has said something. */
export class Turn {
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
