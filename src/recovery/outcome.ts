import type { Reading } from '../catalog/reading.ts';
import { formatCommitTime } from '../model/commit-time.ts';
import { formatLsn } from '../model/lsn.ts';
import type { SchemaChangeReport } from '../replay/schema-changes/schema-changes.ts';
import type { ReplayReport } from '../replay/request.ts';
import type { UsedNumbers } from '../replay/sequences.ts';

/** What changes made of a target, by all runs of its restore. Kept on the target as JSON until the restore is complete. */
export interface PointOutcome {
  /** Rows changed and truncates. */
  readonly applied: number;
  /** Those of the way: what of them is there, was guessed, or is missing. */
  readonly schemaChanges: SchemaChangeReport;
  /** How far schema changes are known on the way. */
  readonly ddl: Reading['ddl'];
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
