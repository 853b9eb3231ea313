import type { CaptureEvent } from '../capture/events.ts';
import { Failure } from '../model/failure.ts';
import { formatDuration } from '../model/quantities.ts';
import type { FollowUpEvent } from './resnapshot.ts';
import { failed, recovered } from './tidings.ts';
import type { Tidings } from './tidings.ts';

/** A connection is lost now and then, and comes back: that is no news until it has lasted. */
const LASTING_MS = 5 * 60_000;

/** Says what somebody should know of what capture tells: gaps at once, trouble when it lasts. */
export class CaptureTidings {
  #trouble: { readonly since: number; readonly failure: Failure } | undefined;
  #tidemark = '';

  of(event: CaptureEvent | FollowUpEvent, now: number): Tidings[] {
    switch (event.kind) {
      case 'lost':
      case 'store-trouble':
        this.#trouble ??= { since: now, failure: event.failure };
        return this.lasting(now);
      case 'streaming':
      // Another capture is at work.
      case 'standby':
        return this.#over();
      case 'status': {
        const hasMoved = event.tidemark !== this.#tidemark;
        this.#tidemark = event.tidemark;
        return hasMoved ? this.#over() : [];
      }
      case 'gap': {
        const { id, reason, from } = event.gap;
        const message = `gap ${id} from ${from.lsn} on (${reason}): ${event.why}`;
        return [failed('gap', new Failure('stream.gap', message))];
      }
      case 'snapshot-failed':
      case 'snapshot-alert':
        return [failed('gap', event.failure)];
      case 'snapshot-taken':
        return [recovered('gap', `snapshot ${event.snapshot} follows it`)];
      case 'slot':
      case 'waiting':
      case 'ignored-messages':
      case 'schema-changed':
      case 'tables-limited':
      case 'publications-tended':
      case 'snapshot-wanted':
      case 'snapshot-begun':
      case 'snapshot-postponed':
        return [];
    }
  }

  /** Capture has ended by itself. */
  ended(failure: Failure): Tidings[] {
    return [failed('capture', failure)];
  }

  /** To be asked each minute: trouble tells of itself only when it comes. */
  lasting(now: number): Tidings[] {
    if (this.#trouble === undefined || now - this.#trouble.since < LASTING_MS) return [];
    const { since, failure } = this.#trouble;
    const message = `for ${formatDuration(now - since)}: ${failure.message}`;
    return [failed('capture', new Failure(failure.code, message, { remedy: failure.remedy }))];
  }

  #over(): Tidings[] {
    this.#trouble = undefined;
    return [recovered('capture', 'changes are stored again')];
  }
}
