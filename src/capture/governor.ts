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
  /** Until the server gives the slot up, at the rate of late. */
  readonly secondsLeft: number | undefined;
  readonly why: string;
}

const DEFAULT_LIMIT = 10n * 1000n ** 3n;
const MEBIBYTE = 1024n * 1024n;

/** Half of what the server would keep for a slot; where it has no limit, 10 GB. */
export function defaultSlotLimit(keepMegabytes: bigint): bigint {
  return keepMegabytes < 0n ? DEFAULT_LIMIT : (keepMegabytes * MEBIBYTE) / 2n;
}

/**
 * Whether the source has to be relieved of the slot: only for what we ourselves have not confirmed (P7). WAL that is
 * pinned by a transaction of somebody else stays whatever we do. Pure.
 */
export function judgeSlot(now: SlotLook, before: SlotLook | undefined, limit: bigint): Judgement {
  const own = now.position > now.confirmed ? now.position - now.confirmed : 0n;
  const pinned = now.position > now.restart ? now.position - now.restart : 0n;
  const secondsLeft = timeLeft(now, before);
  const left =
    secondsLeft === undefined
      ? ''
      : `; the server gives the slot up in ${formatDuration(secondsLeft * 1000)}`;
  const facts = { own, pinned, secondsLeft };
  if (own > limit)
    return {
      ...facts,
      level: 'relieve',
      why: `${formatBytes(own)} of WAL wait for capture, more than ${formatBytes(limit)}`,
    };
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

function timeLeft(now: SlotLook, before: SlotLook | undefined): number | undefined {
  if (now.safeBytes === undefined || before === undefined || now.at <= before.at) return undefined;
  const written = Number(now.position - before.position);
  if (written <= 0) return undefined;
  const perSecond = written / ((now.at - before.at) / 1000);
  return Math.max(0, Number(now.safeBytes)) / perSecond;
}
