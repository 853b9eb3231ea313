import { createTask, parse, validate } from 'node-cron';
import type { ScheduledTask } from 'node-cron';
import type { CommitTime } from '../model/commit-time.ts';
import { instantsOf, wallTimeOf } from '../model/zoned-time.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** No clock was put back by more. */
const PUT_BACK_MS = 3 * 60 * MINUTE_MS;
/** Clocks are put forward to a full quarter of an hour. */
const QUARTER_MS = 15 * MINUTE_MS;
/** Beyond it a rule is never due: the 29th of February comes back after eight years at the latest. */
const FURTHEST_DAYS = 9 * 366;

/** A cron expression of five fields: what is due is due to a minute. */
export function isCron(text: string): boolean {
  return text.trim().split(/\s+/).length === 5 && validate(text);
}

export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).format(0) !== '';
  } catch {
    return false;
  }
}

/**
 * When something is due, by the clock on the wall of a time zone. What the clock is put forward over is due when that
 * is over; of a time that it shows twice the first one counts, unless the rule is for every hour of the day: then both.
 * (node-cron, which parses the rule and tells which wall times match, drops the first and doubles the second.) The expression must
 * have passed `isCron`. Times are milliseconds of the epoch.
 */
export class CronRule {
  readonly #timeZone: string;
  /** In UTC, where each wall time is an instant of its own. */
  readonly #wall: ScheduledTask;
  /** Times of a day that match, in milliseconds, rising. */
  readonly #times: readonly number[];
  readonly #everyHour: boolean;

  constructor(cron: string, timeZone: string) {
    this.#timeZone = timeZone;
    this.#wall = createTask(cron, () => undefined, { timezone: 'UTC' });
    const { hour, minute } = parse(cron);
    this.#times = hour
      .flatMap((h) => minute.map((m) => (h * 60 + m) * MINUTE_MS))
      .sort((one, other) => one - other);
    this.#everyHour = hour.length === 24;
  }

  /** The latest time it was due, at or before `now`; undefined when that is years ago, or never. */
  latestDue(now: number): number | undefined {
    const latest = this.#wallOf(now) + PUT_BACK_MS;
    for (let days = 0, day = dayOf(latest); days < FURTHEST_DAYS; days += 1, day -= DAY_MS) {
      let best: number | undefined;
      for (const wall of this.#wallTimes(day).reverse()) {
        if (wall > latest) continue;
        // What was due still earlier on the wall can't have come later.
        if (best !== undefined && wall < this.#wallOf(best) - PUT_BACK_MS) break;
        for (const time of this.#dueAt(wall)) if (time <= now && time > (best ?? -Infinity)) best = time;
      }
      if (best !== undefined) return best;
    }
    return undefined;
  }

  /** The next time after `now`; undefined when that is years ahead, or never. */
  nextDue(now: number): number | undefined {
    const earliest = this.#wallOf(now) - PUT_BACK_MS;
    for (let days = 0, day = dayOf(earliest); days < FURTHEST_DAYS; days += 1, day += DAY_MS) {
      let best: number | undefined;
      for (const wall of this.#wallTimes(day)) {
        if (wall < earliest) continue;
        if (best !== undefined && wall > this.#wallOf(best) + PUT_BACK_MS) break;
        for (const time of this.#dueAt(wall)) if (time > now && time < (best ?? Infinity)) best = time;
      }
      if (best !== undefined) return best;
    }
    return undefined;
  }

  /** Matching wall times of a day. Its fields for days don't look at the time of day: one time tells for all. */
  #wallTimes(day: number): number[] {
    const [first = 0] = this.#times;
    if (!this.#wall.match(new Date(day + first))) return [];
    return this.#times.map((time) => day + time);
  }

  /** The instants at which a matching wall time is due. */
  #dueAt(wall: number): number[] {
    const shown = this.#instantsOf(wall);
    if (this.#everyHour) return shown;
    if (shown.length > 0) return shown.slice(0, 1);
    let over = Math.floor(wall / QUARTER_MS) * QUARTER_MS;
    for (let found: number[] = []; ; found = this.#instantsOf(over)) {
      if (found.length > 0) return found.slice(0, 1);
      over += QUARTER_MS;
    }
  }

  #instantsOf(wall: number): number[] {
    const text = new Date(wall).toISOString().slice(0, -1);
    return (instantsOf(text, this.#timeZone) ?? []).map(epochOf);
  }

  #wallOf(time: number): number {
    return epochOf(wallTimeOf(commitTimeOf(time), this.#timeZone));
  }
}

function dayOf(wall: number): number {
  return Math.floor(wall / DAY_MS) * DAY_MS;
}

const EPOCH_2000_MS = Date.UTC(2000, 0, 1);

function epochOf(time: CommitTime): number {
  return Number(time / 1000n) + EPOCH_2000_MS;
}

function commitTimeOf(time: number): CommitTime {
  return BigInt(time - EPOCH_2000_MS) * 1000n;
}
