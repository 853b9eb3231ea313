import type { Lsn } from '../model/lsn.ts';
import { formatBytes, formatDuration } from '../model/quantities.ts';

/** How the slot stands, as it was looked at. */
export interface SlotLook {
  readonly at: number;
  readonly position: Lsn;
  readonly confirmed: Lsn;
  /** From where on the server keeps WAL: held by somebody's oldest transaction, too. */
  readonly restart: Lsn;
  readonly walStatus: 'reserved' | 'extended' | 'unreserved' | 'lost' | null;
  /** What may still be written until the slot is at risk; undefined: the server has no limit. */
  readonly safeBytes: bigint | undefined;
}

export interface Judgement {
  /** `relieve`: drop the slot before the source suffers; `pinned`: somebody else holds WAL, dropping would not help. */
  readonly level: 'fine' | 'warning' | 'pinned' | 'relieve';
  /** WAL that we have not confirmed. */
  readonly own: bigint;
  /** WAL that the slot makes the server keep. */
  readonly pinned: bigint;
  /** Until the server gives the slot up, at the rate of the last minutes. */
  readonly secondsLeft: number | undefined;
  readonly why: string;
}

const DEFAULT_LIMIT = 10n * 1000n ** 3n;
const MEBIBYTE = 1024n * 1024n;

/** Half of what the server would keep for a slot; where it has no limit, 10 GB. */
export function defaultSlotLimit(keepMegabytes: bigint): bigint {
  return keepMegabytes < 0n ? DEFAULT_LIMIT : (keepMegabytes * MEBIBYTE) / 2n;
}

/** Looks are kept for so long: what trends rest on. */
const REMEMBERED_MS = 300_000;
/** Rates over less say nothing: positions of slots move in steps. */
const TREND_MS = 30_000;
/** Above the limit capture has so long until its lag must fall; above twice the limit, none. */
const GRACE_MS = 60_000;

/** Looks of one slot, oldest first, with the newest one. */
export function remember(looks: readonly SlotLook[], now: SlotLook): SlotLook[] {
  return [...looks.filter(({ at }) => now.at - at <= REMEMBERED_MS), now];
}

/**
 * Whether the source has to be relieved of the slot: only for what we ourselves have not confirmed (P7). WAL that is
 * pinned by a transaction of somebody else stays whatever we do. After a standstill much waits at first: as long as it
 * becomes less, the slot stays. `earlier`: what was seen before, oldest first. Pure.
 */
export function judgeSlot(now: SlotLook, earlier: readonly SlotLook[], limit: bigint): Judgement {
  const own = ownLag(now);
  const pinned = pinnedBy(now);
  const secondsLeft = timeLeft(now, earlier);
  const left =
    secondsLeft === undefined
      ? ''
      : `; the server gives the slot up in ${formatDuration(secondsLeft * 1000)}`;
  const facts = { own, pinned, secondsLeft };
  if (own > limit) return { ...facts, ...judgeExcess(now, earlier, limit) };
  const endangered =
    now.walStatus === 'unreserved' || now.walStatus === 'lost' || (secondsLeft ?? Infinity) < 600;
  if (own * 2n > limit || (endangered && own * 4n > pinned))
    return { ...facts, level: 'warning', why: `${formatBytes(own)} of WAL wait for capture${left}` };
  if (pinned > limit || endangered)
    return {
      ...facts,
      level: 'pinned',
      why: `the server keeps ${formatBytes(pinned)} of WAL for the slot, because of an old transaction${left}`,
    };
  return { ...facts, level: 'fine', why: '' };
}

/** Above the limit: does capture catch up? By the looks since it was passed. */
function judgeExcess(
  now: SlotLook,
  earlier: readonly SlotLook[],
  limit: bigint,
): Pick<Judgement, 'level' | 'why'> {
  const own = ownLag(now);
  const what = describeExcess(own, limit);
  const since = earlier.slice(earlier.findLastIndex((look) => ownLag(look) <= limit) + 1);
  const first = since[0] ?? now;
  if (own > 2n * limit || own > ownLag(first) + limit / 4n) return { level: 'relieve', why: what };
  const before = since.findLast(({ at }) => now.at - at >= GRACE_MS);
  if (before === undefined) {
    const rest = formatDuration(GRACE_MS - (now.at - first.at));
    return { level: 'warning', why: `${what}: it has ${rest} to show that it catches up` };
  }
  const fallen = ownLag(before) - own;
  if (fallen <= 0n) return { level: 'relieve', why: `${what}, and it does not catch up` };
  const milliseconds = (Number(own - limit) * (now.at - before.at)) / Number(fallen);
  return { level: 'warning', why: `${what}; it catches up, in about ${formatDuration(milliseconds)}` };
}

export function describeExcess(own: bigint, limit: bigint): string {
  return `${formatBytes(own)} of WAL wait for capture, more than ${formatBytes(limit)}`;
}

function ownLag({ position, confirmed }: SlotLook): bigint {
  return position > confirmed ? position - confirmed : 0n;
}

function pinnedBy({ position, restart }: SlotLook): bigint {
  return position > restart ? position - restart : 0n;
}

/** At the rate at which the server has kept more and more for the slot. */
function timeLeft(now: SlotLook, earlier: readonly SlotLook[]): number | undefined {
  const [before] = earlier;
  if (now.safeBytes === undefined || before === undefined || now.at - before.at < TREND_MS) return undefined;
  const grown = Number(pinnedBy(now) - pinnedBy(before));
  if (grown <= 0) return undefined;
  const perSecond = grown / ((now.at - before.at) / 1000);
  return Math.max(0, Number(now.safeBytes)) / perSecond;
}

const FIRST_REST_MS = 60_000;
export const LAST_REST_MS = 3_600_000;
const DAY_MS = 86_400_000;

/**
 * When a slot may be made again after the source was relieved of one: a minute later, then two, four, up to an hour, by
 * how often that was within a day. Milliseconds of the epoch.
 */
export function restUntil(relieved: readonly number[]): number {
  const latest = Math.max(...relieved);
  const often = relieved.filter((at) => latest - at < DAY_MS).length;
  return latest + Math.min(FIRST_REST_MS * 2 ** (often - 1), LAST_REST_MS);
}
