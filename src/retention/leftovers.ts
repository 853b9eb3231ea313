import { timeOfId } from '../catalog/ids.ts';
import { keys } from '../catalog/keys.ts';
import { readSegmentFacts } from '../catalog/segment-facts.ts';
import type { StreamView } from '../catalog/stream-view.ts';
import { asLsn } from '../model/lsn.ts';
import type { Repository } from '../catalog/repository.ts';
import { asFailure } from '../model/failure.ts';
import type { ObjectStat, OpenPut, Store } from '../storage/store.ts';
import type { ReadFacts } from './read-facts.ts';

/** Data that no document names, and that nobody still writes. */
export interface Leftover {
  /** Beginning of its keys. */
  readonly prefix: string;
  readonly what: 'snapshot that did not end' | 'attempt at a transaction' | 'upload that did not end';
  readonly keys: readonly string[];
  /** Nothing that a listing shows, and of a size that nobody tells. */
  readonly puts?: readonly OpenPut[];
  readonly bytes: number;
}

/** A snapshot of a huge database may run for days; one that has stored nothing for a week has ended. */
const QUIET_MS = 7 * 86_400_000;

/**
 * Folders of snapshots without a manifest, parts of transactions that no run lists, and uploads that did not end, where all of
 * it is a week old by the store's own clock; a snapshot also by its id, beside the newest one that is whole. What lies before a cut goes with it, and is not looked for here.
 */
export async function findLeftovers(
  repository: Repository,
  read: ReadFacts,
  options: { readonly now: number; readonly signal: AbortSignal },
): Promise<Leftover[]> {
  const { source } = read.history;
  const isQuiet = (objects: readonly ObjectStat[]): boolean =>
    objects.every(({ modified }) => options.now - modified.getTime() > QUIET_MS);
  // Ids are by the source's clock, and so are instants: no clock that is wrong here makes a running snapshot old.
  const newest = Math.max(...read.facts.snapshots.map(({ instant }) => instant));
  const found: Leftover[] = [];
  for (const id of read.facts.unfinished) {
    const objects = read.folders.get(id) ?? [];
    if (!isQuiet(objects) || newest - begun(id) <= QUIET_MS) continue;
    found.push(leftover(keys.snapshot(source, id), 'snapshot that did not end', objects));
  }
  for (const view of read.history.streams)
    for (const [prefix, objects] of await unlistedParts(view, options))
      if (isQuiet(objects)) found.push(leftover(prefix, 'attempt at a transaction', objects));
  for (const put of await openPuts(repository.store, `sources/${source}/`, options))
    if (options.now - put.since.getTime() > QUIET_MS)
      found.push({ prefix: put.key, what: 'upload that did not end', keys: [], puts: [put], bytes: 0 });
  return found;
}

/** A role that may not list them still prunes; a store that can't has none that anybody could end. */
async function openPuts(
  store: Store,
  prefix: string,
  options: { readonly signal: AbortSignal },
): Promise<OpenPut[]> {
  try {
    return await Array.fromAsync(store.openPuts(prefix, options));
  } catch (error) {
    const { code } = asFailure(error);
    if (code === 'repository.permission' || code === 'repository.error') return [];
    throw error;
  }
}

/** What is no id was put there by someone else, and is not ours to remove. */
function begun(id: string): number {
  try {
    return timeOfId(id);
  } catch {
    return Infinity;
  }
}

function leftover(prefix: string, what: Leftover['what'], objects: readonly ObjectStat[]): Leftover {
  return {
    prefix,
    what,
    keys: objects.map(({ key }) => key),
    bytes: objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

/** Attempts of transactions whose run is stored, and lists others, or none. A commit that is not stored yet may still list them. */
async function unlistedParts(
  view: StreamView,
  options: { readonly signal: AbortSignal },
): Promise<Map<string, ObjectStat[]>> {
  const folder = keys.stream(view.document.source, view.id);
  const attempts = new Map<string, ObjectStat[]>();
  for await (const object of view.repository.store.list(`${folder}parts/`, options)) {
    const prefix = /^(.*\/parts\/[0-9A-F]{16}-[0-9a-z]+\/)\d+\.tar$/.exec(object.key)?.[1];
    if (prefix !== undefined) attempts.set(prefix, [...(attempts.get(prefix) ?? []), object]);
  }
  for (const prefix of attempts.keys()) {
    const position = asLsn(BigInt(`0x${/parts\/([0-9A-F]{16})-/.exec(prefix)?.[1] ?? '0'}`));
    const listed = await partsListedAt(view, position, options);
    if (listed === undefined || listed.some((name) => (folder + name).startsWith(prefix)))
      attempts.delete(prefix);
  }
  return attempts;
}

/** Names that the segments around a commit list; undefined where no stored segment holds it. */
async function partsListedAt(
  view: StreamView,
  commit: ReturnType<typeof asLsn>,
  { signal }: { readonly signal: AbortSignal },
): Promise<string[] | undefined> {
  const holds = ({ from, to }: { from: bigint; to: bigint }): boolean => from <= commit && commit < to;
  const entry = view.pieces.flat().find(holds);
  const segment = entry === undefined ? undefined : (await view.segmentsOf(entry)).find(holds);
  if (segment === undefined) return undefined;
  const runs = await readSegmentFacts(view.repository, segment, { stream: view.id, signal });
  return runs.flatMap(({ facts }) => facts.parts.map(({ name }) => name));
}
