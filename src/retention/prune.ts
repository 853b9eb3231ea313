import { FORMAT_VERSION } from '../archive/manifest.ts';
import type { PruneMark } from '../archive/retention-documents.ts';
import { lsnOf } from '../archive/run-document.ts';
import { encodeDocument } from '../catalog/documents.ts';
import { newId } from '../catalog/ids.ts';
import { keys } from '../catalog/keys.ts';
import { Held, readLeases, readPruneMark, storeClock } from '../catalog/leases.ts';
import type { Found } from '../catalog/leases.ts';
import type { Repository } from '../catalog/repository.ts';
import { Failure } from '../model/failure.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { liveLeases, watched } from './live-leases.ts';
import { isEmpty, namesOf, stillDoomed, unleased } from './marks.ts';
import type { Doomed, MarkedNames } from './marks.ts';
import type { CutLimits, PreparedPrune } from './prepare.ts';
import { finishHalfGone, remove, withoutLocked } from './remove.ts';
import type { Removed } from './remove.ts';

export interface PruneRequest {
  readonly source: string;
  /** How long what goes stays after it was marked. */
  readonly graceMs: number;
  /** Stay until the grace is over; else a later run removes what this one marks. */
  readonly wait: boolean;
  readonly program: string;
  /** Reads and plans anew, for this time of the store's clock, in milliseconds of the epoch. */
  readonly prepare: (now: number, cutAtMost?: CutLimits) => Promise<PreparedPrune>;
  readonly onWait: (why: string, milliseconds: number) => void;
  readonly signal: AbortSignal;
}

export interface PruneOutcome {
  /** What the removal went by. */
  readonly prepared: PreparedPrune;
  readonly removed: Removed;
  /** Due, and not removed: what needs it, or keeps it. */
  readonly heldBack: readonly string[];
  /** What a later run removes, from this time on by the store's clock. */
  readonly marked: (MarkedNames & { readonly removableFrom: Date }) | undefined;
}

/** A prune that was killed is known after a minute; where the grace is shorter, after that. */
const TTL_SECONDS = 60;

const NOTHING: Removed = { snapshots: [], cuts: [], leftovers: [], objects: 0, bytes: 0 };

/**
 * Removes what was marked at least the grace ago and still goes, and marks what goes by now. In this order, so that a
 * restore is never robbed: mark → grace → leases → a fresh plan, proved → the mark says `deleting` → leases again → objects. A
 * restore writes its lease before it looks at the mark, so one of the two sees the other. Killed anywhere, it can be run again.
 * Fails with `prune.refused`, `prune.unsafe` or `prune.under_way`.
 */
export async function prune(repository: Repository, request: PruneRequest): Promise<PruneOutcome> {
  const { store } = repository;
  const { source, signal } = request;
  const before = await readPruneMark(store, source, { signal });
  if (before?.document.state === 'deleting') {
    await refuseUnlessLeft(repository, before, request);
    await finishHalfGone(repository, before.document, request);
  }
  const prepared = await freshPlan(repository, request);
  const mark = before ?? (await writeMark(repository, namesOf(prepared), request));
  if (mark === undefined) return { prepared, removed: NOTHING, heldBack: [], marked: undefined };
  const leftMs = await graceLeft(repository, mark, request);
  if (leftMs > 0) {
    if (!request.wait) return { prepared, removed: NOTHING, heldBack: [], marked: markedBy(mark, request) };
    request.onWait('for the grace', leftMs);
    await watched(leftMs, signal);
  }
  const storeNow = await storeClock(store, { signal });
  const onWait = (ms: number): void => request.onWait('for a restore that may have died', ms);
  const leases = await liveLeases(store, source, { storeNow, onWait, signal });
  // No further than was marked: the window has moved on since, and moves on before each run.
  const limits = new Map(mark.document.cuts.map(({ stream, at }) => [stream, lsnOf(at)]));
  const last = await freshPlan(repository, request, limits);
  const due = unleased(stillDoomed(last, mark.document), leases);
  const unlocked = await withoutLocked(repository, due.free, { now: storeNow, signal });
  const { removed, heldBack } = await removeMarked(repository, unlocked.free, request);
  const rest = namesOf(without(prepared, removed));
  const next = await writeMark(repository, rest, request);
  return {
    prepared,
    removed,
    heldBack: [...due.heldBack, ...unlocked.heldBack, ...heldBack],
    marked: next && markedBy(next, request),
  };
}

async function freshPlan(
  { store }: Repository,
  request: PruneRequest,
  cutAtMost?: CutLimits,
): Promise<PreparedPrune> {
  const prepared = await request.prepare((await storeClock(store, request)).getTime(), cutAtMost);
  const { refusals } = prepared.plan;
  if (refusals.length > 0)
    throw new Failure('prune.refused', `nothing goes: ${refusals.join('; ')}`, { facts: { refusals } });
  return prepared;
}

/** A mark of a prune that still runs changes; fails with `prune.under_way` then. */
async function refuseUnlessLeft(
  { store }: Repository,
  mark: Found<PruneMark>,
  { source, onWait, signal }: PruneRequest,
): Promise<void> {
  const ttlMs = mark.document.ttlSeconds * 1000;
  onWait('for a prune that may have died', ttlMs);
  await watched(ttlMs, signal);
  const now = await readPruneMark(store, source, { signal });
  if (now?.text === mark.text) return;
  throw new Failure('prune.under_way', `another prune is removing what source ${source} needs no more`);
}

/** Undefined, and no mark any more, when nothing goes. */
async function writeMark(
  { store }: Repository,
  names: MarkedNames,
  request: PruneRequest,
): Promise<Found<PruneMark> | undefined> {
  const { source, signal } = request;
  if (isEmpty(names)) {
    await store.delete(keys.pruneMark(source), { signal });
    return undefined;
  }
  await store.replace(keys.pruneMark(source), encodeDocument(markOf(names, 'marked', request)), { signal });
  await failpoint('prune.marked');
  return readPruneMark(store, source, { signal });
}

function markOf(names: MarkedNames, state: PruneMark['state'], request: PruneRequest): PruneMark {
  return {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-prune',
    id: newId(new Date()),
    source: request.source,
    ttlSeconds: Math.min(TTL_SECONDS, Math.max(1, request.graceMs / 1000)),
    renewals: 0,
    state,
    ...names,
  };
}

/** By the store's clock on both ends. What a prune had begun to remove has had its grace. */
async function graceLeft(
  { store }: Repository,
  mark: Found<PruneMark>,
  { graceMs, signal }: PruneRequest,
): Promise<number> {
  if (mark.document.state === 'deleting') return 0;
  const age = (await storeClock(store, { signal })).getTime() - mark.modified.getTime();
  return graceMs - age;
}

function markedBy({ document, modified }: Found<PruneMark>, { graceMs }: PruneRequest) {
  const { snapshots, cuts, leftovers } = document;
  return { snapshots, cuts, leftovers, removableFrom: new Date(modified.getTime() + graceMs) };
}

async function removeMarked(
  repository: Repository,
  free: Doomed,
  request: PruneRequest,
): Promise<{ readonly removed: Removed; readonly heldBack: readonly string[] }> {
  const names = namesOf(free);
  if (isEmpty(names)) return { removed: NOTHING, heldBack: [] };
  const { store } = repository;
  const { source, signal } = request;
  const held = await Held.take(store, keys.pruneMark(source), markOf(names, 'deleting', request), { signal });
  try {
    await failpoint('prune.deleting');
    const leases = (await readLeases(store, source, { signal })).map(({ document }) => document);
    const last = unleased(free, leases);
    await held.change(namesOf(last.free), { signal });
    const { removed, heldBack } = await remove(repository, last.free, request);
    await failpoint('prune.removed');
    return { removed, heldBack: [...last.heldBack, ...heldBack] };
  } finally {
    // Where it fails, the mark stays as it is, and the next run goes on from it.
    await held.stop();
  }
}

function without(doomed: Doomed, removed: Removed): Doomed {
  return {
    snapshots: doomed.snapshots.filter(({ id }) => !removed.snapshots.includes(id)),
    streams: doomed.streams.filter(({ stream, at }) =>
      removed.cuts.every((cut) => cut.stream !== stream || cut.at < at),
    ),
    leftovers: doomed.leftovers.filter(({ prefix }) => !removed.leftovers.includes(prefix)),
  };
}
