import { parseCommitTime } from './commit-time.ts';
import type { CommitTime } from './commit-time.ts';

const MICROSECONDS_PER_HOUR = 3_600_000_000n;
/** UTC+14 and UTC-12 are the furthest in use. */
const HOURS_AROUND = 15n;

/**
 * The instants that a clock on the wall of a time zone showed as `text`: none where it was put forward over it, two
 * where it was put back. Undefined when the text is no time without a zone; a RangeError for an unknown zone.
 */
export function instantsOf(text: string, timeZone: string): CommitTime[] | undefined {
  if (/(?:Z|[+-]\d{2}(?::?\d{2})?)$/.test(text.replace(/^[+-]?\d+-\d{2}-\d{2}/, ''))) return undefined;
  const wall = parseCommitTime(`${text}Z`);
  if (wall === undefined) return undefined;
  const zone = clockOf(timeZone);
  const offsets = new Set<bigint>();
  for (let hour = -HOURS_AROUND; hour <= HOURS_AROUND; hour += 1n)
    offsets.add(offsetAt(zone, wall + hour * MICROSECONDS_PER_HOUR));
  return [...offsets]
    .filter((offset) => offsetAt(zone, wall - offset) === offset)
    .map((offset) => wall - offset)
    .sort((a, b) => (a < b ? -1 : 1));
}

/** What a clock on the wall of a time zone shows at a time, read as if it were UTC. A RangeError for an unknown zone. */
export function wallTimeOf(time: CommitTime, timeZone: string): CommitTime {
  return time + offsetAt(clockOf(timeZone), time);
}

/** Making one costs as much as asking it thirty times. */
const clocks = new Map<string, Intl.DateTimeFormat>();

function clockOf(timeZone: string): Intl.DateTimeFormat {
  const known = clocks.get(timeZone);
  if (known !== undefined) return known;
  const clock = new Intl.DateTimeFormat('en-US', {
    timeZone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    hourCycle: 'h23',
    era: 'short',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
  clocks.set(timeZone, clock);
  return clock;
}

const MILLISECONDS_TO_2000 = 946_684_800_000n;

/** What the zone's clock is ahead of UTC, in µs. */
function offsetAt(zone: Intl.DateTimeFormat, time: CommitTime): bigint {
  // Down to whole seconds: offsets have no fraction, and formatting drops it.
  const seconds = (time - (((time % 1_000_000n) + 1_000_000n) % 1_000_000n)) / 1_000_000n;
  const parts = new Map(
    zone
      .formatToParts(Number(seconds * 1000n + MILLISECONDS_TO_2000))
      .map(({ type, value }) => [type, value]),
  );
  const part = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.get(type));
  const year = parts.get('era') === 'BC' ? 1 - part('year') : part('year');
  const shown = Date.UTC(2000, part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
  const withYear = new Date(shown).setUTCFullYear(year, part('month') - 1, part('day'));
  return (BigInt(withYear) - MILLISECONDS_TO_2000 - seconds * 1000n) * 1000n;
}
