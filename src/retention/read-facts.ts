import type { Manifest } from '../archive/manifest.ts';
import { isEnded, judgeIn, openHistory } from '../catalog/source-history.ts';
import type { SourceHistory } from '../catalog/source-history.ts';
import { keys } from '../catalog/keys.ts';
import { readManifests } from '../catalog/recovery-windows.ts';
import type { Repository } from '../catalog/repository.ts';
import { streamTip } from '../catalog/stream-tip.ts';
import type { StreamView } from '../catalog/stream-view.ts';
import { tableGaps } from '../catalog/window.ts';
import { parseCommitTime } from '../model/commit-time.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { asLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import type { ObjectStat } from '../storage/store.ts';
import type { RetentionFacts, SnapshotFacts } from './plan.ts';
import type { StreamFacts } from './plan-stream.ts';

/** What a plan is made of, and what it was read from. */
export interface ReadFacts {
  readonly facts: RetentionFacts;
  readonly history: SourceHistory;
  readonly manifests: readonly Manifest[];
  /** Of every snapshot's folder, by id. */
  readonly folders: ReadonlyMap<string, readonly ObjectStat[]>;
  /** Commits before it are too old for the window for changes; undefined without one. */
  readonly cutoff: CommitTime | undefined;
}

interface ReadOptions {
  readonly source: string;
  /** Milliseconds: length of the window for changes. */
  readonly changes: number | undefined;
  /** Milliseconds of the epoch. */
  readonly now: number;
  /** Snapshots that a prune which was killed had begun to remove: no attempts at a snapshot. */
  readonly halfGone: readonly string[];
  readonly signal: AbortSignal;
}

/**
 * Reads what a repository holds of a source: all manifests, names of all objects of snapshots, and of streams what a
 * plan for restoring reads. Fails where a manifest can't be read: what it needs is not known then.
 */
export async function readFacts(repository: Repository, options: ReadOptions): Promise<ReadFacts> {
  const { source, signal, changes } = options;
  const history = await openHistory([repository], options);
  const manifests = await readManifests(history, { signal });
  const folders = await snapshotObjects(repository, { source, signal });
  const snapshots: SnapshotFacts[] = [];
  for (const manifest of manifests) {
    const objects = folders.get(manifest.id) ?? [];
    snapshots.push({
      manifest,
      instant: Date.parse(manifest.instant),
      damage: damageOf(manifest, objects),
      objects: objects.length,
      bytes: objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      use: await judgeIn(history, manifest),
    });
  }
  const cutoff =
    changes === undefined ? undefined : await cutoffOf(history, { snapshots, ...options, changes });
  const streams: StreamFacts[] = [];
  for (const view of history.streams)
    streams.push({
      id: view.id,
      ended: isEnded(history, view),
      isWaitedFor: snapshots.some(({ use }) => use.kind === 'waiting' && use.stream === view.id),
      changesFrom: cutoff === undefined ? undefined : await positionOf(view, cutoff),
      entries: view.pieces.flat(),
      gaps: tableGaps(history.gaps, view.id),
    });
  const complete = new Set(manifests.map(({ id }) => id));
  const unfinished = [...folders.keys()].filter((id) => !complete.has(id) && !options.halfGone.includes(id));
  return { facts: { snapshots, streams, unfinished }, history, manifests, folders, cutoff };
}

async function snapshotObjects(
  repository: Repository,
  options: { readonly source: string; readonly signal: AbortSignal },
): Promise<Map<string, ObjectStat[]>> {
  const prefix = keys.snapshots(options.source);
  const found = new Map<string, ObjectStat[]>();
  for await (const object of repository.store.list(prefix, { signal: options.signal })) {
    const [id = '', ...rest] = object.key.slice(prefix.length).split('/');
    if (rest.length === 0) continue;
    const there = found.get(id);
    if (there === undefined) found.set(id, [object]);
    else there.push(object);
  }
  return found;
}

/** By names and sizes: what `verify` would find at once. */
function damageOf(manifest: Manifest, objects: readonly ObjectStat[]): string | undefined {
  const sizes = new Map(objects.map(({ key, sizeBytes }) => [key, sizeBytes]));
  const listed = [...manifest.parts, ...manifest.archives.flatMap(({ data, members }) => [data, members])];
  for (const { name, sizeBytes } of listed) {
    const size = sizes.get(keys.snapshotObject(manifest.source, manifest.id, name));
    if (size === undefined) return `${name} is not there`;
    if (size !== sizeBytes) return `${name} has ${size} bytes, ${sizeBytes} were stored`;
  }
  return undefined;
}

/**
 * Counted back from the newest thing that is stored, never from a clock that runs ahead of it: where capture stopped a
 * month ago, its last month is what is left, and where the clock here is wrong, nothing is too old for that.
 */
async function cutoffOf(
  history: SourceHistory,
  from: { readonly snapshots: readonly SnapshotFacts[]; readonly changes: number; readonly now: number },
): Promise<CommitTime | undefined> {
  const times = from.snapshots.map(({ instant }) => commitTimeOf(instant));
  for (const view of history.streams) {
    const { latestCommitTime } = await streamTip(view);
    if (latestCommitTime !== undefined) times.push(latestCommitTime);
  }
  const newest = times.reduce<CommitTime | undefined>(
    (latest, time) => (latest === undefined || time > latest ? time : latest),
    undefined,
  );
  if (newest === undefined) return undefined;
  const now = commitTimeOf(from.now);
  return (newest < now ? newest : now) - BigInt(from.changes) * 1000n;
}

function commitTimeOf(instant: number): CommitTime {
  return parseCommitTime(new Date(instant).toISOString()) ?? 0n;
}

/** Where a run begins that has a commit at or after a time; before, all is older. Behind the end where there is none. */
async function positionOf(view: StreamView, time: CommitTime): Promise<Lsn> {
  for (const piece of view.pieces) {
    const run = await view.firstRunWhere(piece, (latest) => latest >= time);
    if (run !== undefined) return run.from;
  }
  return asLsn((view.covered.at(-1)?.to ?? view.start) + 1n);
}
