import type { Manifest } from '../archive/manifest.ts';
import type { GapDocument } from '../archive/stream-documents.ts';
import { lsnOf } from '../archive/run-document.ts';
import { parseSnapshot } from '../model/xid.ts';
import type { Repository } from './repository.ts';
import { listSnapshotFolders } from './snapshots.ts';
import { StreamView } from './stream-view.ts';
import { listStreams, readGaps } from './streams.ts';
import { judgeSnapshot } from './usability.ts';
import type { StreamFacts, Usability } from './usability.ts';

/** What repositories hold of one source: names alone, but for stream documents and gaps. */
export interface SourceHistory {
  readonly source: string;
  /** In the order in which they began; one of two copies of a stream, the one that reaches further. */
  readonly streams: readonly StreamView[];
  readonly gaps: readonly GapDocument[];
  /** Complete snapshots, newest first. */
  readonly snapshots: readonly { readonly repository: Repository; readonly id: string }[];
}

/** Looks at all repositories of a source together: a snapshot in one may be tied to a stream in another. */
export async function openHistory(
  repositories: readonly Repository[],
  options: { readonly source: string; readonly signal: AbortSignal },
): Promise<SourceHistory> {
  const streams = new Map<string, StreamView>();
  const gaps = new Map<string, GapDocument>();
  const snapshots: { repository: Repository; id: string }[] = [];
  for (const repository of repositories) {
    for (const stream of await listStreams(repository, options)) {
      const view = await StreamView.open(repository, { source: options.source, stream }, options);
      streams.set(stream, further(streams.get(stream), view));
    }
    for (const gap of await readGaps(repository, options)) gaps.set(gap.id, gap);
    for (const folder of await listSnapshotFolders(repository, options))
      if (folder.complete) snapshots.push({ repository, id: folder.id });
  }
  return {
    source: options.source,
    streams: [...streams.values()].sort((a, b) => startOf(a) - startOf(b)),
    gaps: [...gaps.values()],
    snapshots: snapshots.sort((a, b) => (a.id < b.id ? 1 : -1)),
  };
}

/** What can be done with a snapshot; reads what its stream says around it. */
export async function judgeIn(
  history: SourceHistory,
  manifest: Pick<Manifest, 'tie' | 'server'>,
): Promise<Usability> {
  const { tie } = manifest;
  const view =
    tie.kind === 'none' ? undefined : history.streams.find((candidate) => candidate.id === tie.stream);
  const isSearched = tie.kind === 'xid' && tie.scanFrom === undefined;
  const xmin = isSearched ? parseSnapshot(tie.snapshot)?.xmin : undefined;
  const heartbeat =
    isSearched && view !== undefined && xmin !== undefined
      ? await view.heartbeatBelow(xmin, lsnOf(tie.upper))
      : undefined;
  return judgeSnapshot(manifest, {
    stream: view === undefined ? undefined : streamFacts(history, view),
    gaps: history.gaps,
    heartbeatAt: heartbeat?.position,
  });
}

function streamFacts(history: SourceHistory, view: StreamView): StreamFacts {
  const { id, document, start, covered } = view;
  return { id, document, start, covered, ended: isEnded(history, view) };
}

/** Whether a newer stream has taken over: this one grows no more. */
export function isEnded(history: SourceHistory, view: StreamView): boolean {
  return history.streams.some(
    (other) =>
      other.repository === view.repository &&
      other.document.slot === view.document.slot &&
      startOf(other) > startOf(view),
  );
}

function further(one: StreamView | undefined, other: StreamView): StreamView {
  const [a, b] = [one?.covered.at(-1)?.to ?? 0n, other.covered.at(-1)?.to ?? 0n];
  return one !== undefined && a >= b ? one : other;
}

function startOf(view: StreamView): number {
  return Date.parse(view.document.startedAt);
}
