import { lsnOf } from '../archive/run-document.ts';
import type { RunDocument } from '../archive/run-document.ts';
import type { RunFacts } from '../archive/stream-documents.ts';
import type { Stretch } from '../archive/stream-names.ts';
import type { CommitTime } from '../model/commit-time.ts';
import type { Lsn } from '../model/lsn.ts';
import type { Link } from './pieces.ts';

/** A transaction of ours that came back: any transaction with an xid above `xid` committed behind `position`. */
export interface Heartbeat {
  readonly position: Lsn;
  readonly xid: bigint;
}

/** What a plan needs of a run: a month has a quarter of a million. */
export interface RunSummary extends Stretch {
  readonly previous: string;
  readonly chain: string;
  readonly transactions: number;
  /** Its own; undefined without transactions. */
  readonly times: { readonly min: CommitTime; readonly max: CommitTime } | undefined;
  /** Since the stream began; undefined until its first commit. */
  readonly latestCommitTime: CommitTime | undefined;
  readonly heartbeats: readonly Heartbeat[];
  readonly partBytes: number;
  readonly plainBytes: number;
  readonly ddl: RunFacts['ddl'];
}

/** A segment whose runs are known, from a chapter or from itself. */
export interface KnownSegment extends Stretch, Link {
  readonly key: string;
  readonly sizeBytes: number;
  readonly runs: readonly RunSummary[];
}

export function summarise({ facts, chain }: RunDocument): RunSummary {
  const [min, max] = [facts.minCommitTime, facts.maxCommitTime];
  return {
    from: lsnOf(facts.from),
    to: lsnOf(facts.to),
    previous: facts.previous,
    chain,
    transactions: facts.transactions,
    times: min === undefined || max === undefined ? undefined : { min: BigInt(min), max: BigInt(max) },
    latestCommitTime: facts.latestCommitTime === undefined ? undefined : BigInt(facts.latestCommitTime),
    heartbeats: facts.heartbeats.map(({ position, xid }) => ({
      position: lsnOf(position),
      xid: BigInt(xid),
    })),
    partBytes: facts.parts.reduce((sum, part) => sum + part.sizeBytes, 0),
    plainBytes: facts.plainBytes,
    ddl: facts.ddl,
  };
}

export function knownSegment(
  stored: { readonly key: string; readonly sizeBytes: number } & Stretch,
  runs: readonly RunSummary[],
): KnownSegment {
  const { key, sizeBytes, from, to } = stored;
  return { key, sizeBytes, from, to, runs, previous: runs[0]?.previous, chain: runs.at(-1)?.chain };
}
