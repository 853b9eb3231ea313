import { createHash } from 'node:crypto';
import { FORMAT_VERSION } from '../archive/manifest.ts';
import type { GapDocument, StreamDocument } from '../archive/stream-documents.ts';
import { newId, newIdAfter } from '../catalog/ids.ts';
import { publishGap, publishStream } from '../catalog/publish-stream.ts';
import type { Repository } from '../catalog/repository.ts';
import { streamTip } from '../catalog/stream-tip.ts';
import type { StreamTip } from '../catalog/stream-tip.ts';
import { StreamView } from '../catalog/stream-view.ts';
import { listStreams, readGaps } from '../catalog/streams.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { formatLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { failpoint } from '../runtime/failpoints.ts';

/** The stream that goes on, and where. */
export interface CurrentStream {
  readonly view: StreamView;
  readonly tip: StreamTip;
}

interface CallOptions {
  readonly signal: AbortSignal;
}

interface Where {
  readonly repository: Repository;
  readonly source: string;
  readonly slot: string;
}

/** No xid is above it. */
const ANY_XID = 1n << 64n;

/** The newest stream of this slot; or the gap that has ended it. */
export async function currentStream(
  where: Where,
  options: CallOptions,
): Promise<CurrentStream | { readonly endedBy: GapDocument } | undefined> {
  const { repository, source, slot } = where;
  const gaps = await readGaps(repository, { source, ...options });
  for (const stream of (await listStreams(repository, { source, ...options })).reverse()) {
    const view = await StreamView.open(repository, { source, stream }, options);
    if (view.document.slot !== slot) continue;
    const endedBy = gaps.find((gap) => gap.stream === stream && gap.tables === undefined);
    return endedBy === undefined ? { view, tip: await streamTip(view) } : { endedBy };
  }
  return undefined;
}

/** Begins a stream where the slot stands. */
export async function beginStream(
  where: Where,
  facts: Pick<StreamDocument, 'publications' | 'server' | 'settings' | 'createdBy'> & {
    readonly start: Lsn;
    readonly clock: Date;
  },
  options: CallOptions,
): Promise<void> {
  const { start, clock, ...known } = facts;
  // `currentStream` takes the last one for the newest.
  const ids = await listStreams(where.repository, { source: where.source, ...options });
  await publishStream(
    where.repository,
    {
      formatVersion: FORMAT_VERSION,
      kind: 'tidemark-stream',
      id: newIdAfter(clock, ids.at(-1)),
      source: where.source,
      repositoryId: where.repository.document.repositoryId,
      startedAt: clock.toISOString(),
      slot: where.slot,
      start: formatLsn(start),
      ...known,
    },
    options,
  );
  await failpoint('capture.stream-created');
}

/**
 * Records that a stream ends: from `from` on, nothing covers the source. Where the publications may have changed
 * unseen, what was stored behind the last heartbeat is not counted either: each is written when they had just been
 * found in order.
 */
export async function recordGap(
  { repository, source }: Where,
  gap: { readonly reason: GapDocument['reason']; readonly current: CurrentStream; readonly clock: Date },
  options: CallOptions,
): Promise<GapDocument> {
  const { reason, current, clock } = gap;
  // Read anew: the session that found it is over, and may have stored more than it began with.
  const view = await StreamView.open(repository, { source, stream: current.view.id }, options);
  const tip = await streamTip(view);
  const from = await coveredUntil(view, tip, reason);
  const { latestCommitTime } = tip;
  const document: GapDocument = {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-gap',
    id: newId(clock),
    source,
    reason,
    stream: view.id,
    from: {
      lsn: formatLsn(from),
      ...(latestCommitTime !== undefined && from === tip.to && { commitTime: latestCommitTime.toString() }),
    },
    noticedAt: clock.toISOString(),
  };
  await publishGap(repository, document, options);
  await failpoint('capture.gap-recorded');
  return document;
}

async function coveredUntil(view: StreamView, tip: StreamTip, reason: GapDocument['reason']): Promise<Lsn> {
  if (reason !== 'publication-changed') return tip.to;
  return (await newestHeartbeat(view, tip.to)) ?? view.start;
}

/** Where the newest one stands that is stored before a position. */
export async function newestHeartbeat(view: StreamView, position: Lsn): Promise<Lsn | undefined> {
  return (await view.heartbeatBelow(ANY_XID, position))?.position;
}

/** One id for one event of the stream, also when it is sent again. */
export function eventId(time: CommitTime, ...words: readonly string[]): string {
  const milliseconds = Number(time / 1000n) + Date.UTC(2000, 0, 1);
  const [stamp] = newId(new Date(milliseconds)).split('-');
  const digest = createHash('sha256').update(words.join('\0')).digest('hex');
  return `${stamp}-${digest.slice(0, 6)}`;
}
