import { formatLsn, lsnKey } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { Failure } from '../model/failure.ts';
import { keys } from '../catalog/keys.ts';
import type { StreamView } from '../catalog/stream-view.ts';
import { listChapters, listSegments } from '../catalog/streams.ts';
import type { ObjectStat } from '../storage/store.ts';
import { uncrossed } from './plan-stream.ts';

/** What lies before the new beginning of a stream. */
export interface StreamRemoval {
  readonly stream: string;
  readonly at: Lsn;
  /** What the first run that stays is chained to. */
  readonly previous: string;
  /**
   * In the order in which they go: oldest first, each chapter before its segments, and a segment before its parts. So a
   * removal that ends anywhere leaves a shorter stream, and nothing that tells of what is not there.
   */
  readonly keys: readonly string[];
  readonly bytes: number;
}

/** Undefined when no object would go. */
export async function readRemoval(
  view: StreamView,
  cut: Lsn,
  options: { readonly signal: AbortSignal },
): Promise<StreamRemoval | undefined> {
  const address = { source: view.document.source, stream: view.id };
  const entries = view.pieces.flat();
  const chapters = await listChapters(view.repository, address, options);
  const segments = await listSegments(view.repository, address, { ...options, until: cut });
  const at = uncrossed(cut, entries, [...chapters, ...segments]);
  if (at === undefined) return undefined;
  const parts = await partsBefore(view, at, options);
  const goes = [
    ...chapters.map((one) => ({ ...one, rank: 0 })),
    ...segments.map((one) => ({ ...one, rank: 1 })),
    ...parts.map((one) => ({ ...one, rank: 2 })),
  ]
    .filter((one) => one.from < at)
    .sort((a, b) => (a.from === b.from ? a.rank - b.rank : a.from < b.from ? -1 : 1));
  if (goes.length === 0) return undefined;
  const entry = entries.find(({ from }) => from === at);
  const first = entry === undefined ? undefined : (await view.runsOf(entry))[0];
  if (first === undefined)
    throw new Failure('integrity.chain', `nothing begins at ${formatLsn(at)} in stream ${view.id}`);
  return {
    stream: view.id,
    at,
    previous: first.previous,
    keys: goes.map(({ key }) => key),
    bytes: goes.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

/** Parts of transactions that committed before a position, of whatever attempt. */
async function partsBefore(
  view: StreamView,
  position: Lsn,
  options: { readonly signal: AbortSignal },
): Promise<(ObjectStat & { readonly from: bigint })[]> {
  const prefix = `${keys.stream(view.document.source, view.id)}parts/`;
  const found: (ObjectStat & { readonly from: bigint })[] = [];
  for await (const object of view.repository.store.list(prefix, options)) {
    const name = object.key.slice(prefix.length);
    if (name >= lsnKey(position)) break;
    const finalLsn = /^([0-9A-F]{16})-/.exec(name)?.[1];
    if (finalLsn !== undefined) found.push({ ...object, from: BigInt(`0x${finalLsn}`) });
  }
  return found;
}
