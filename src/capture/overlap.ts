import type { StreamView } from '../catalog/stream-view.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { parseLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { TAG, commitEndLsn } from '../pgoutput/peek.ts';
import type { TransactionAssembler } from '../pgoutput/transaction-assembler.ts';

/** What is stored and not confirmed: the server sends it again, and must send the same. */
export interface Overlap {
  /** Where the session starts, before the tidemark. */
  readonly from: Lsn;
  /** The end of the last commit that is stored. */
  readonly to: Lsn;
  /** A commit time that must come back in between; undefined: nothing is stored behind `from`. */
  readonly time: CommitTime | undefined;
}

/**
 * What has to be compared before a stream goes on where the slot does not stand at its tidemark. After a crash of
 * either side the slot is behind, and so it is on a source that was set back to an earlier time: its WAL may have
 * grown beyond the tidemark since, with other transactions, which no position and no identifier tells (I 41). Undefined where the slot itself
 * vouches for what is stored: it was told.
 */
export async function overlapOf(
  view: StreamView,
  at: { readonly confirmed: string | null; readonly tidemark: Lsn },
): Promise<Overlap | undefined> {
  const confirmed = parseLsn(at.confirmed ?? '');
  if (confirmed === undefined || confirmed >= at.tidemark) return undefined;
  for (const entry of view.pieces.at(-1)?.toReversed() ?? [])
    for (const { from, to, times } of (await view.runsOf(entry)).toReversed()) {
      if (to <= confirmed) return { from: confirmed, to: confirmed, time: undefined };
      if (times === undefined) continue;
      return from < confirmed ? undefined : { from, to, time: times.max };
    }
  return { from: confirmed, to: confirmed, time: undefined };
}

/** Compares what comes again with what is stored. Of one session. */
export class OverlapProof {
  readonly #overlap: Overlap;
  #isTimeSeen: boolean;
  #isProven: boolean;

  constructor(overlap: Overlap) {
    this.#overlap = overlap;
    this.#isTimeSeen = overlap.time === undefined;
    this.#isProven = this.#isTimeSeen;
  }

  /** Whether a message before the tidemark may be there. `follows` has just taken it. */
  allows(message: Buffer, follows: TransactionAssembler): boolean {
    const { to, time } = this.#overlap;
    if (follows.tag === TAG.begin) {
      this.#isTimeSeen ||= follows.commitTime === time;
      return this.#isProven || follows.commitLsn < to;
    }
    if (follows.tag === TAG.commit) {
      this.#isProven ||= this.#isTimeSeen && commitEndLsn(message) === to;
      return true;
    }
    // Behind the last commit that is stored there may only be transactions without contents.
    return !follows.isOpen || follows.commitLsn < to;
  }

  /** Whether the server may have come so far: all that it sends before, it has sent. */
  allowsPosition(position: Lsn): boolean {
    return this.#isProven || position <= this.#overlap.to;
  }
}
