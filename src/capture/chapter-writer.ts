import { chapterOf } from '../catalog/chapter-of.ts';
import type { ChapterSegment } from '../catalog/chapter-of.ts';
import { publishChapter } from '../catalog/publish-stream.ts';
import type { Repository } from '../catalog/repository.ts';
import type { StreamAddress } from '../catalog/streams.ts';
import { asFailure } from '../model/failure.ts';
import type { Failure } from '../model/failure.ts';
import { failpoint } from '../runtime/failpoints.ts';

const HOUR_MS = 3_600_000;

/**
 * Writes the table of contents of each finished hour. It spares readers requests and nothing depends on it: one that
 * can't be stored is tried again with the next, and segments of an hour in which capture was stopped stay without.
 */
export class ChapterWriter {
  readonly #repository: Repository;
  readonly #at: StreamAddress;
  readonly #onTrouble: (failure: Failure) => void;
  readonly #signal: AbortSignal;
  #hour: number | undefined;
  #segments: ChapterSegment[] = [];
  #writing: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly repository: Repository;
    readonly at: StreamAddress;
    readonly onTrouble: (failure: Failure) => void;
    readonly signal: AbortSignal;
  }) {
    this.#repository = options.repository;
    this.#at = options.at;
    this.#onTrouble = options.onTrouble;
    this.#signal = options.signal;
  }

  /** A segment that was stored, in order. `clock`: milliseconds; the first segment of a new hour ends the chapter. */
  add(segment: ChapterSegment, clock: number): void {
    const hour = Math.floor(clock / HOUR_MS);
    if (this.#hour !== undefined && hour !== this.#hour) this.#write();
    this.#hour = hour;
    this.#segments.push(segment);
  }

  #write(): void {
    const segments = this.#segments;
    this.#segments = [];
    this.#writing = this.#writing.then(() => this.#put(segments));
  }

  async #put(segments: readonly ChapterSegment[]): Promise<void> {
    try {
      const chapter = chapterOf(this.#at.stream, segments);
      await publishChapter(this.#repository, this.#at, chapter, { signal: this.#signal });
      await failpoint('capture.chapter-stored');
    } catch (error) {
      if (!this.#signal.aborted) this.#onTrouble(asFailure(error));
      this.#segments = [...segments, ...this.#segments];
    }
  }
}
