/**
 * When a transaction committed, by the server's clock: microseconds since 2000-01-01 UTC, as TimestampTz counts
 * them. Kept as that number, since a Date has milliseconds only; text is for people and for targets.
 */
export type CommitTime = bigint;

const MICROSECONDS_PER_DAY = 86_400_000_000n;
/** From 0000-03-01, where the calendar's cycle of 400 years begins, to 2000-01-01. */
const DAYS_TO_2000 = 730_425;
const DAYS_PER_ERA = 146_097;
const INFINITY: CommitTime = 0x7fff_ffff_ffff_ffffn;
/** END_TIMESTAMP and MIN_TIMESTAMP (datatype/timestamp.h): 294277-01-01 and 4714-11-24 BC. */
const END: CommitTime = 9_223_371_331_200_000_000n;
const MIN: CommitTime = -211_813_488_000_000_000n;

/** A finite timestamp as Postgres has them; no commit has another. */
export function isCommitTime(value: bigint): boolean {
  return value >= MIN && value < END;
}

/**
 * `2026-11-23T10:01:59.123456Z`, always with six digits; years beyond four digits as ISO 8601 expands them.
 * The two infinities are `infinity` and `-infinity`; throws a RangeError for what Postgres has no time for.
 */
export function formatCommitTime(time: CommitTime): string {
  if (time === INFINITY) return 'infinity';
  if (time === -INFINITY - 1n) return '-infinity';
  if (!isCommitTime(time)) throw new RangeError('no timestamp of Postgres');
  const inDay = ((time % MICROSECONDS_PER_DAY) + MICROSECONDS_PER_DAY) % MICROSECONDS_PER_DAY;
  const { year, month, day } = civil(Number((time - inDay) / MICROSECONDS_PER_DAY));
  const seconds = Number(inDay / 1_000_000n);
  const clock = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
    .map(pad(2))
    .join(':');
  return `${yearText(year)}-${pad(2)(month)}-${pad(2)(day)}T${clock}.${pad(6)(Number(inDay % 1_000_000n))}Z`;
}

const TEXT =
  /^(\d{4}|[+-]\d{6})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?(?:Z|([+-])(\d{2}):?(\d{2})?)$/;

/** Reads a time with its zone, exactly; undefined when it is none, is finer than microseconds, or is infinite. */
export function parseCommitTime(text: string): CommitTime | undefined {
  const match = TEXT.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const offsetMinutes = Number(match[9] ?? 0) * 60 + Number(match[10] ?? 0);
  if (hour > 23 || minute > 59 || second > 59 || offsetMinutes > 16 * 60) return undefined;
  const days = daysSince2000(year, month, day);
  const back = civil(days);
  if (back.year !== year || back.month !== month || back.day !== day) return undefined;
  const zone = match[8] === '-' ? -offsetMinutes : offsetMinutes;
  const seconds = BigInt(hour * 3600 + (minute - zone) * 60 + second);
  const time =
    BigInt(days) * MICROSECONDS_PER_DAY + seconds * 1_000_000n + BigInt((match[7] ?? '').padEnd(6, '0'));
  return isCommitTime(time) ? time : undefined;
}

/** Proleptic Gregorian, by the cycle of 400 years; years begin in March, so that leap days end them. */
function civil(days: number): { readonly year: number; readonly month: number; readonly day: number } {
  const shifted = days + DAYS_TO_2000;
  const era = Math.floor(shifted / DAYS_PER_ERA);
  const dayOfEra = shifted - era * DAYS_PER_ERA;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const fromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * fromMarch + 2) / 5) + 1,
  };
}

function daysSince2000(year: number, month: number, day: number): number {
  const fromMarch = month > 2 ? year : year - 1;
  const era = Math.floor(fromMarch / 400);
  const yearOfEra = fromMarch - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * DAYS_PER_ERA + dayOfEra - DAYS_TO_2000;
}

function yearText(year: number): string {
  if (year >= 0 && year <= 9999) return pad(4)(year);
  return `${year < 0 ? '-' : '+'}${pad(6)(Math.abs(year))}`;
}

function pad(width: number): (value: number) => string {
  return (value) => String(value).padStart(width, '0');
}
