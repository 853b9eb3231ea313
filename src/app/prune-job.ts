import { formatCommitTime } from '../model/commit-time.ts';
import { formatLsn } from '../model/lsn.ts';
import { preparePrune } from '../retention/prepare.ts';
import type { PreparedPrune } from '../retention/prepare.ts';
import { withRepository } from './list-job.ts';
import type { Settings } from './settings.ts';

export interface PruneOptions {
  /** What the caller knows of the newest attempt at a snapshot, if it failed: then nothing goes. */
  readonly failedAttempt?: string;
  readonly signal: AbortSignal;
}

/** What stays, what goes and why; texts and numbers alone. */
export interface PruneReport {
  readonly location: string;
  readonly source: string;
  readonly snapshots: readonly {
    readonly id: string;
    readonly instant: string;
    readonly scope: 'whole' | 'partial';
    readonly bytes: number;
    readonly keep: boolean;
    readonly reasons: readonly string[];
  }[];
  readonly streams: readonly {
    readonly id: string;
    /** Everything before goes; absent: nothing does. */
    readonly cut?: string;
    readonly objects: number;
    readonly bytes: number;
  }[];
  /** What can be restored to afterwards, besides each kept snapshot's own instant. */
  readonly windows: readonly {
    readonly stream: string;
    readonly from: string;
    readonly to: string;
    readonly fromTime?: string;
    readonly toTime?: string;
  }[];
  /** Why nothing goes just now. */
  readonly refusals: readonly string[];
  readonly bytes: number;
}

/** The plan for one source in one repository. Changes nothing. */
export function planPruneJob(settings: Settings, options: PruneOptions): Promise<PruneReport> {
  const { rules } = settings.retention();
  const { signal, failedAttempt } = options;
  return withRepository(settings, signal, async (repository) => {
    const source = settings.sourceName;
    const now = Date.now();
    const prepared = await preparePrune(repository, { source, rules, failedAttempt, now, signal });
    return reportOf(prepared, repository.store.location);
  });
}

function reportOf({ plan, read, snapshots, streams, windows }: PreparedPrune, location: string): PruneReport {
  const facts = new Map(read.facts.snapshots.map((snapshot) => [snapshot.manifest.id, snapshot]));
  return {
    location,
    source: read.history.source,
    snapshots: plan.snapshots.map(({ id, keep, reasons }) => {
      const { manifest, bytes = 0, instant = 0 } = facts.get(id) ?? {};
      return {
        id,
        instant: new Date(instant).toISOString(),
        scope: manifest?.scope.kind ?? 'whole',
        bytes,
        keep,
        reasons,
      };
    }),
    streams: plan.streams.map(({ id }) => {
      const removal = streams.find(({ stream }) => stream === id);
      return {
        id,
        ...(removal !== undefined && { cut: formatLsn(removal.at) }),
        objects: removal?.keys.length ?? 0,
        bytes: removal?.bytes ?? 0,
      };
    }),
    windows: windows.map(({ stream, from, to, times }) => ({
      stream,
      from: formatLsn(from),
      to: formatLsn(to),
      ...(times !== undefined && {
        fromTime: formatCommitTime(times.from),
        toTime: formatCommitTime(times.to),
      }),
    })),
    refusals: plan.refusals,
    bytes: [...snapshots, ...streams].reduce((sum, one) => sum + one.bytes, 0),
  };
}
