import { formatCommitTime } from '../model/commit-time.ts';
import { formatLsn } from '../model/lsn.ts';
import type { ReplayReport } from '../replay/request.ts';
import type { UsedNumbers } from '../replay/sequences.ts';

/** What changes made of a target, by all runs of its restore. Kept on the target as JSON until the restore is complete. */
export interface PointOutcome {
  /** Rows changed and truncates. */
  readonly applied: number;
  /** Recorded on the way, and not applied: what they made is missing, what they dropped is there. */
  readonly schemaChanges: number;
  /** Of others, under the name of ours: they told of nothing (P12). */
  readonly ignoredMessages: number;
  /** The end of the prefix of history that the target holds now, and what came next on the source. */
  readonly lastApplied?: ReplayedTransaction | undefined;
  readonly firstNotApplied?: ReplayedTransaction | undefined;
  /** Name, least and most. */
  readonly sequences: readonly (readonly [string, string, string])[];
  /** Whether they were seen when the point had passed; else they may have moved on unseen. */
  readonly sequencesKnown: boolean;
}

export interface ReplayedTransaction {
  readonly xid: number;
  readonly commitLsn: string;
  readonly commitTime: string;
}

/** Steps that a sequence may have made between the last look at it and the point: 160 a second. */
const SEQUENCE_MARGIN = 10_000;

export function transactionFacts(transaction: ReplayReport['lastApplied']): ReplayedTransaction | undefined {
  if (transaction === undefined) return undefined;
  const { xid, commitLsn, commitTime } = transaction;
  return { xid, commitLsn: formatLsn(commitLsn), commitTime: formatCommitTime(commitTime) };
}

export function usedNumbers({ sequences, sequencesKnown }: PointOutcome): UsedNumbers {
  return {
    samples: new Map(sequences.map(([name, least, most]) => [name, { least, most }])),
    margin: sequencesKnown ? 0 : SEQUENCE_MARGIN,
  };
}
