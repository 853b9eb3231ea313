/** What is kept of snapshots. Counts of periods that have a snapshot; a snapshot that any rule keeps stays. */
export interface KeepRules {
  readonly keepLast?: number | undefined;
  readonly keepHourly?: number | undefined;
  readonly keepDaily?: number | undefined;
  readonly keepWeekly?: number | undefined;
  readonly keepMonthly?: number | undefined;
  readonly keepYearly?: number | undefined;
  /** Milliseconds, counted back from the newest snapshot. */
  readonly keepWithin?: number | undefined;
  /** Where days begin. */
  readonly timezone: string;
}

/** A snapshot by what rules look at: `instant` in milliseconds of the epoch. */
export interface DatedSnapshot {
  readonly id: string;
  readonly instant: number;
}

type PeriodOf = (wall: WallClock, place: number) => string;

const PERIODS: readonly (readonly [Exclude<keyof KeepRules, 'keepWithin' | 'timezone'>, string, PeriodOf])[] =
  [
    ['keepLast', 'last', (_, place) => String(place)],
    ['keepHourly', 'hourly', ({ hour }) => hour],
    ['keepDaily', 'daily', ({ day }) => day],
    ['keepWeekly', 'weekly', ({ week }) => week],
    ['keepMonthly', 'monthly', ({ day }) => day.slice(0, 7)],
    ['keepYearly', 'yearly', ({ day }) => day.slice(0, 4)],
  ];

/**
 * Which snapshots rules keep, and why, as restic does (`forget`): of each period the newest one, for as many periods
 * that have any, from the newest back; while a rule's number is not reached, also the oldest of all. Each rule judges
 * alone, so one more rule, or a larger number, never keeps less. Without any rule all are kept.
 */
export function keptByRules(
  snapshots: readonly DatedSnapshot[],
  rules: KeepRules,
): Map<string, readonly string[]> {
  const newestFirst = [...snapshots].sort((a, b) => b.instant - a.instant || (a.id < b.id ? 1 : -1));
  if (!hasKeepRules(rules)) return new Map(newestFirst.map(({ id }) => [id, ['no rule for snapshots']]));
  const kept = new Map<string, string[]>();
  const keep = (id: string, why: string): void => {
    kept.set(id, [...(kept.get(id) ?? []), why]);
  };
  const clock = wallClock(rules.timezone);
  const walls = newestFirst.map(({ instant }) => clock(instant));
  for (const [rule, name, periodOf] of PERIODS) {
    let left = rules[rule] ?? 0;
    let last: string | undefined;
    for (const [place, { id }] of newestFirst.entries()) {
      const wall = walls[place];
      if (left === 0 || wall === undefined) break;
      const period = periodOf(wall, place);
      const isOldest = place === newestFirst.length - 1;
      if (period === last && !isOldest) continue;
      keep(id, period === last ? `${name}, oldest` : name);
      last = period;
      left -= 1;
    }
  }
  const { keepWithin } = rules;
  const newest = newestFirst[0]?.instant ?? 0;
  for (const { id, instant } of keepWithin === undefined ? [] : newestFirst)
    if (instant > newest - (keepWithin ?? 0)) keep(id, 'within');
  return kept;
}

function hasKeepRules(rules: KeepRules): boolean {
  return rules.keepWithin !== undefined || PERIODS.some(([rule]) => (rules[rule] ?? 0) > 0);
}

/** Names of the periods in which an instant lies: each sorts and differs as the periods do. */
interface WallClock {
  /** `2026-11-25T14+01:00`: the hour that comes twice when clocks are put back is two hours. */
  readonly hour: string;
  readonly day: string;
  /** By its Monday, as ISO 8601 parts weeks. */
  readonly week: string;
}

const DAY_MS = 86_400_000;

function wallClock(timeZone: string): (instant: number) => WallClock {
  const zone = new Intl.DateTimeFormat('en-US', {
    timeZone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    timeZoneName: 'longOffset',
  });
  return (instant) => {
    const parts = new Map(zone.formatToParts(instant).map(({ type, value }) => [type, value]));
    const day = `${parts.get('year')}-${parts.get('month')}-${parts.get('day')}`;
    const midnight = Date.parse(`${day}T00:00:00Z`);
    const sinceMonday = (new Date(midnight).getUTCDay() + 6) % 7;
    return {
      hour: `${day}T${parts.get('hour')} ${parts.get('timeZoneName')}`,
      day,
      week: new Date(midnight - sinceMonday * DAY_MS).toISOString().slice(0, 10),
    };
  };
}
