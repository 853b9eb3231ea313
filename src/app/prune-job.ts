import { formatCommitTime } from '../model/commit-time.ts';
import { formatLsn } from '../model/lsn.ts';
import { preparePrune } from '../retention/prepare.ts';
import type { PrepareOptions, PreparedPrune } from '../retention/prepare.ts';
import { prune } from '../retention/prune.ts';
import type { RetentionRules } from '../retention/plan.ts';
import { PROGRAM } from './program.ts';
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
  /** Data that no document names, by the beginning of its keys. */
  readonly leftovers: readonly { readonly prefix: string; readonly what: string; readonly bytes: number }[];
  /** Why nothing goes just now. */
  readonly refusals: readonly string[];
  readonly bytes: number;
}

/** What was removed, what is held back and why, and what a later run removes. */
export interface AppliedPrune {
  readonly plan: PruneReport;
  readonly removed: {
    readonly snapshots: readonly string[];
    readonly cuts: readonly { readonly stream: string; readonly at: string }[];
    readonly leftovers: readonly string[];
    readonly objects: number;
    readonly bytes: number;
  };
  readonly heldBack: readonly string[];
  readonly marked?: {
    readonly snapshots: readonly string[];
    readonly cuts: readonly { readonly stream: string; readonly at: string }[];
    readonly leftovers: readonly string[];
    /** By the store's clock. */
    readonly removableFrom: string;
  };
}

/** The plan for one source in one repository. Changes nothing. */
export function planPruneJob(settings: Settings, options: PruneOptions): Promise<PruneReport> {
  const { rules } = settings.retention();
  return withRepository(settings, options.signal, async (repository) =>
    reportOf(
      await preparePrune(repository, prepareOptions(settings, rules, options)),
      repository.store.location,
    ),
  );
}

/**
 * Removes what an earlier run has marked, once the grace is over, and marks what goes by now: to be run by a schedule, or
 * twice. With `wait` it does both. Fails with `prune.refused` where a backup failed last, `prune.unsafe` or `prune.under_way`.
 */
export async function pruneJob(
  settings: Settings,
  options: PruneOptions & {
    readonly wait?: boolean;
    readonly onWait?: (why: string, milliseconds: number) => void;
  },
): Promise<AppliedPrune> {
  const { rules, graceMs } = settings.retention();
  const signing = await settings.signing();
  const { signal } = options;
  return withRepository(settings, signal, async (reading) => {
    const repository = { ...reading, ...signing };
    const { prepared, removed, heldBack, marked } = await prune(repository, {
      source: settings.sourceName,
      graceMs,
      wait: options.wait ?? false,
      program: PROGRAM,
      prepare: (now, cutAtMost) =>
        preparePrune(repository, { ...prepareOptions(settings, rules, options), now, cutAtMost }),
      onWait: options.onWait ?? (() => undefined),
      signal,
    });
    return {
      plan: reportOf(prepared, repository.store.location),
      removed: { ...removed, cuts: removed.cuts.map(({ stream, at }) => ({ stream, at: formatLsn(at) })) },
      heldBack,
      ...(marked !== undefined && {
        marked: { ...marked, removableFrom: marked.removableFrom.toISOString() },
      }),
    };
  });
}

function prepareOptions(settings: Settings, rules: RetentionRules, options: PruneOptions): PrepareOptions {
  const { signal, failedAttempt } = options;
  return { source: settings.sourceName, rules, failedAttempt, now: Date.now(), signal };
}

function reportOf(prepared: PreparedPrune, location: string): PruneReport {
  const { plan, read, snapshots, streams, windows, leftovers } = prepared;
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
    leftovers: leftovers.map(({ prefix, what, bytes }) => ({ prefix, what, bytes })),
    refusals: plan.refusals,
    bytes: [...snapshots, ...streams, ...leftovers].reduce((sum, one) => sum + one.bytes, 0),
  };
}
