import type { CommitTime } from '../model/commit-time.ts';
import { asLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import type { Entry, StreamView } from '../catalog/stream-view.ts';

/** Where replay stops, as data: always a prefix of commit order (P5). */
export type StopRule =
  | { readonly kind: 'latest' }
  /** Before the first commit later than the time; exclusive: at or later than it. */
  | { readonly kind: 'time'; readonly time: CommitTime; readonly exclusive: boolean }
  /** Behind the last commit record at or before the position; exclusive: before it. */
  | { readonly kind: 'lsn'; readonly lsn: Lsn; readonly exclusive: boolean };

/** Where a target lies in a stream. Positions stand for: what committed before them. */
export type Located =
  | {
      readonly kind: 'found';
      readonly stop: StopRule;
      /** The replay ends at a position between, both included: a time is known to a run only, without the key. */
      readonly from: Lsn;
      readonly to: Lsn;
    }
  /** Earlier than anything of it, or so early that it can't be told. */
  | { readonly kind: 'before' }
  /** Later than its tidemark. */
  | { readonly kind: 'beyond' }
  /** Where something is missing. */
  | { readonly kind: 'missing' };

/** A position is found when every commit up to it is stored: by names alone. */
export function locatePosition(view: StreamView, lsn: Lsn, exclusive: boolean): Located {
  const cut = exclusive ? lsn : asLsn(lsn + 1n);
  const { covered } = view;
  const piece = covered.find(({ from, to }) => from <= cut && cut <= to);
  if (piece !== undefined)
    return { kind: 'found', stop: { kind: 'lsn', lsn, exclusive }, from: cut, to: cut };
  if (cut > (covered.at(-1)?.to ?? view.start)) return { kind: 'beyond' };
  return cut < (covered[0]?.from ?? view.start) ? { kind: 'before' } : { kind: 'missing' };
}

/**
 * A time is found when a later commit is stored, since that alone shows that nothing up to the time is still to come:
 * commit times go back, and a later one ends the prefix for good (as in Postgres, where a target that no commit
 * passes is not reached). Heartbeats are commits too, so this moves on with an idle source. And a commit before it
 * must be stored: the stop is then not the stream's own beginning.
 */
export async function locateTime(view: StreamView, time: CommitTime, exclusive: boolean): Promise<Located> {
  const isLater = (latest: CommitTime): boolean => (exclusive ? latest >= time : latest > time);
  const stop: StopRule = { kind: 'time', time, exclusive };
  for (const [index, piece] of view.pieces.entries()) {
    const run = await view.firstRunWhere(piece, isLater);
    if (run === undefined) continue;
    const first = await firstCommitted(view, piece);
    if (first !== undefined && run.from > first.from)
      return { kind: 'found', stop, from: run.from, to: run.to };
    return { kind: index === 0 ? 'before' : 'missing' };
  }
  return { kind: 'beyond' };
}

async function firstCommitted(
  view: StreamView,
  piece: readonly Entry[],
): ReturnType<StreamView['firstRunWhere']> {
  return view.firstRunWhere(piece, () => true);
}
