import type { GapDocument } from '../archive/stream-documents.ts';
import { describeLimited } from '../catalog/tables.ts';
import { captureNames } from '../model/capture-names.ts';
import { parseCommitTime } from '../model/commit-time.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { Failure, asFailure } from '../model/failure.ts';
import { parseLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { judgeStatus } from '../monitor/judge-status.ts';
import type { Status, StatusFacts } from '../monitor/judge-status.ts';
import { lookAtSource } from '../monitor/look-at-source.ts';
import { slotLimitOf } from './capture-job.ts';
import type { ListedStream, ListedWindow } from './list-history.ts';
import { listJob, withRepository } from './list-job.ts';
import type { Listing } from './list-job.ts';
import type { Settings } from './settings.ts';
import { listSchedules } from './status-schedules.ts';
import type { ListedSchedule } from './status-schedules.ts';

export interface StatusReport {
  readonly source: string;
  /** Where changes go. */
  readonly repository: string;
  readonly repositories: readonly string[];
  readonly absent: readonly string[];
  /** Whether the source was asked; else all is what the repository alone shows. */
  readonly sourceReached: boolean;
  readonly slotName: string;
  /** The newest one. */
  readonly stream: ListedStream | undefined;
  /** Of all streams, oldest first. */
  readonly windows: readonly ListedWindow[];
  readonly ownWindows: Listing['ownWindows'];
  readonly gaps: readonly GapDocument[];
  /** Of the configuration. */
  readonly schedules: readonly ListedSchedule[];
  readonly status: Status;
}

/** How well the source is protected right now. Fails when the repository can't be read: then nothing is known. */
export async function statusJob(settings: Settings, signal: AbortSignal): Promise<StatusReport> {
  const { slotName, location } = await withRepository(settings, signal, async ({ document, store }) => ({
    slotName: captureNames(settings.sourceName, document.repositoryId).slot,
    location: store.location,
  }));
  // The source first: what is stored meanwhile makes the lag smaller, and never looks like a loss.
  const source = await sourceFacts(settings, slotName, signal);
  const listing = await listJob(settings, { allSources: false, signal });
  const stream = listing.streams.findLast(({ repository }) => repository === location);
  const slotLimit = slotLimitOf(settings.config);
  const { schedules, findings } = await listSchedules(settings, signal);
  const status = judgeStatus({
    now: now(),
    source,
    slotLimit,
    ...repositoryFacts(listing, stream),
    schedules: findings,
  });
  return {
    source: settings.sourceName,
    repository: location,
    repositories: listing.repositories,
    absent: listing.absent,
    ownWindows: listing.ownWindows,
    sourceReached: source !== undefined && !(source instanceof Failure),
    slotName,
    stream,
    windows: listing.windows,
    gaps: listing.gaps,
    schedules,
    status,
  };
}

async function sourceFacts(
  settings: Settings,
  slot: string,
  signal: AbortSignal,
): Promise<StatusFacts['source']> {
  if (settings.findSource() === undefined) return undefined;
  try {
    return await lookAtSource(settings.captureSource(), { slot, signal });
  } catch (error) {
    const failure = asFailure(error);
    if (!failure.code.startsWith('source.')) throw failure;
    return failure;
  }
}

function repositoryFacts(
  listing: Listing,
  stream: ListedStream | undefined,
): Pick<StatusFacts, 'stream' | 'windowEnds' | 'snapshots' | 'refused' | 'limited'> {
  return {
    stream: stream && {
      tidemark: positionOf(stream.to),
      latestCommitTime:
        stream.latestCommitTime === undefined ? undefined : parseCommitTime(stream.latestCommitTime),
    },
    windowEnds: listing.windows
      .filter((window) => window.stream === stream?.id)
      .map((window) => positionOf(window.to)),
    snapshots: listing.snapshots
      .filter(({ scope }) => scope === 'whole')
      .map(({ id, instant, use }) => ({
        id,
        at: parseCommitTime(instant) ?? now(),
        waiting: use === 'waiting',
      })),
    refused: listing.refused.length,
    limited: describeLimited(stream?.limited ?? []),
  };
}

function positionOf(text: string): Lsn {
  const lsn = parseLsn(text);
  if (lsn === undefined) throw new Error(`${text} was listed as a position`);
  return lsn;
}

function now(): CommitTime {
  return BigInt(Date.now() - Date.UTC(2000, 0, 1)) * 1000n;
}
