import { SingleBar } from 'cli-progress';
import { formatBytes, formatDuration } from '../model/quantities.ts';
import type { Terminal } from './terminal.ts';

export interface Progress {
  /** Announces what is being done now. */
  phase(name: string): void;
  /** `done` of `total` bytes. */
  update(done: number, total: number): void;
  stop(): void;
}

const LINE_EVERY_MS = 5000;

/** A bar with rate and time left on a terminal, a line every few seconds elsewhere, nothing when quiet. */
export function startProgress(terminal: Terminal): Progress {
  if (terminal.quiet || terminal.json)
    return { phase: () => undefined, update: () => undefined, stop: () => undefined };
  return terminal.interactive ? new Bar() : new Lines(terminal);
}

class Bar implements Progress {
  #bar: SingleBar | undefined;
  #started = 0;

  phase(name: string): void {
    this.stop();
    process.stderr.write(`${name} …\n`);
  }

  update(done: number, total: number): void {
    if (total === 0) return;
    if (this.#bar === undefined) {
      this.#started = performance.now();
      this.#bar = new SingleBar({
        stream: process.stderr,
        format: '  {bar} {percentage} %  {size}  {rate}/s  {left}',
        barsize: 30,
        hideCursor: true,
        clearOnComplete: true,
        etaBuffer: 50,
      });
      this.#bar.start(total, 0, { size: '', rate: '', left: '' });
    }
    const seconds = (performance.now() - this.#started) / 1000;
    const rate = seconds > 0 ? done / seconds : 0;
    this.#bar.update(done, {
      size: `${formatBytes(done)} of ${formatBytes(total)}`,
      rate: formatBytes(rate),
      left: rate > 0 ? `${formatDuration((1000 * (total - done)) / rate)} left` : '',
    });
  }

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}

class Lines implements Progress {
  readonly #terminal: Terminal;
  #last = performance.now();
  #started = performance.now();

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  phase(name: string): void {
    this.#terminal.note(name);
    this.#started = performance.now();
    this.#last = this.#started;
  }

  update(done: number, total: number): void {
    const now = performance.now();
    if (now - this.#last < LINE_EVERY_MS || total === 0) return;
    this.#last = now;
    const rate = done / ((now - this.#started) / 1000);
    this.#terminal.note(
      `  ${Math.floor((100 * done) / total)} %, ${formatBytes(done)} of ${formatBytes(total)}, ${formatBytes(rate)}/s`,
    );
  }

  stop(): void {
    // Lines need no end.
  }
}
