import type { FollowUpEvent } from '../app/resnapshot.ts';
import type { CaptureEvent } from '../capture/events.ts';
import type { Failure } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import { formatBytes, formatCount, formatDuration } from '../model/quantities.ts';

/** What an event says to people. */
export interface Described {
  readonly text: string;
  readonly warns: boolean;
}

/** An event as JSON; of a failure, what concerns the reader. */
export function fieldsOf(event: object): Readonly<Record<string, unknown>> {
  if (!('failure' in event)) return { ...event };
  const { code, message, remedy } = event.failure as Failure;
  return { ...event, failure: { code, message, remedy } };
}

export function describeCapture(event: CaptureEvent | FollowUpEvent): Described {
  switch (event.kind) {
    case 'standby':
      return note(
        `standing by: pid ${event.pid} streams from the slot; this capture takes over when it leaves`,
      );
    case 'streaming':
      return note(`streaming from ${event.from}, into stream ${event.stream}`);
    case 'status':
      return note(
        `stored up to ${event.tidemark}: ${formatCount(event.transactions)} transactions, ${formatBytes(event.storedBytes)}; ` +
          `${formatBytes(BigInt(event.ownLagBytes))} of WAL behind${event.paused ? ', waiting for the repository' : ''}`,
      );
    case 'slot':
      return warning(event.why);
    case 'store-trouble':
      return warning(`the repository does not take it now, trying again: ${event.failure.message}`);
    case 'lost':
      return warning(`${event.failure.message}; trying again in ${formatDuration(event.retryMs)}`);
    case 'waiting':
      return note(event.why);
    case 'ignored-messages':
      return warning(
        `${event.count} message(s) under our prefix are not of this capture, and count for nothing: another one’s, or forged ones`,
      );
    case 'schema-changed':
      return event.exact
        ? note(`${event.changes} schema change(s) recorded`)
        : note('the schema has changed; without event triggers, how is not known');
    case 'tables-limited':
      return warning(`${event.why.join('; ')}: only the next snapshot will have them`);
    case 'publications-tended':
      return note(`publications: ${[...event.done, ...event.pending].join('; ')}`);
    case 'gap':
      return warning(`gap ${event.gap.id} from ${event.gap.from.lsn} on (${event.gap.reason}): ${event.why}`);
    case 'snapshot-wanted':
      return warning(`a new snapshot is needed: only that closes gap ${event.gap}`);
    case 'snapshot-begun':
      return note(
        event.gaps.length === 0
          ? 'taking a snapshot, because the schema has changed'
          : `taking a snapshot${event.tables === undefined ? '' : ` of ${event.tables.map(displayRelation).join(', ')} alone`}, because of gap ${event.gaps.join(', ')}`,
      );
    case 'snapshot-taken':
      return note(`snapshot ${event.snapshot} is taken (${event.tables} tables)`);
    case 'snapshot-postponed':
      return note(`a snapshot is wanted because of a gap; it is taken at ${event.until}`);
    case 'snapshot-failed':
      return warning(`the snapshot that a gap asks for failed: ${event.failure.message}`);
    case 'snapshot-alert':
      return warning(`${event.failure.code}: ${event.failure.message}; ${event.failure.remedy}`);
  }
}

export function note(text: string): Described {
  return { text, warns: false };
}

export function warning(text: string): Described {
  return { text, warns: true };
}
