import type { LeaseDocument, PruneMark } from '../archive/retention-documents.ts';
import { lsnOf } from '../archive/run-document.ts';
import { formatLsn } from '../model/lsn.ts';
import type { Leftover } from './leftovers.ts';
import type { PreparedPrune, SnapshotRemoval } from './prepare.ts';
import type { StreamRemoval } from './stream-removal.ts';

/** What goes, by the names that a mark gives it. */
export interface Doomed {
  readonly snapshots: readonly SnapshotRemoval[];
  readonly streams: readonly StreamRemoval[];
  readonly leftovers: readonly Leftover[];
}

export type MarkedNames = Pick<PruneMark, 'snapshots' | 'cuts' | 'leftovers'>;

export function namesOf(doomed: Doomed): MarkedNames {
  return {
    snapshots: doomed.snapshots.map(({ id }) => id),
    cuts: doomed.streams.map(({ stream, at }) => ({ stream, at: formatLsn(at) })),
    leftovers: doomed.leftovers.map(({ prefix }) => prefix),
  };
}

export function isEmpty({ snapshots, cuts, leftovers }: MarkedNames): boolean {
  return snapshots.length + cuts.length + leftovers.length === 0;
}

/** What was marked before and still goes. */
export function stillDoomed(prepared: PreparedPrune, mark: MarkedNames): Doomed {
  return {
    snapshots: prepared.snapshots.filter(({ id }) => mark.snapshots.includes(id)),
    streams: prepared.streams.filter(({ stream, at }) =>
      mark.cuts.some((cut) => cut.stream === stream && lsnOf(cut.at) >= at),
    ),
    leftovers: prepared.leftovers.filter(({ prefix }) => mark.leftovers.includes(prefix)),
  };
}

/** What no lease needs of it, and why the rest is held back. One that still plans may need anything. */
export function unleased(
  doomed: Doomed,
  leases: readonly LeaseDocument[],
): { readonly free: Doomed; readonly heldBack: string[] } {
  const heldBack: string[] = [];
  const isFree = (what: string, needs: (lease: LeaseDocument) => boolean): boolean => {
    const lease = leases.find(needs);
    if (lease !== undefined) heldBack.push(`${what}: restore ${lease.id} may need it`);
    return lease === undefined;
  };
  const free = {
    snapshots: doomed.snapshots.filter(({ id }) =>
      isFree(`snapshot ${id}`, ({ needs }) => needs === undefined || needs.snapshot === id),
    ),
    streams: doomed.streams.filter(({ stream, at }) =>
      isFree(`stream ${stream} before ${formatLsn(at)}`, ({ needs }) => {
        if (needs === undefined) return true;
        return needs.changes?.stream === stream && lsnOf(needs.changes.from) < at;
      }),
    ),
    leftovers: doomed.leftovers,
  };
  return { free, heldBack };
}

/** Whether what a restore needs counts as gone: a prune is removing it. */
export function isBeingRemoved(mark: PruneMark, needs: NonNullable<LeaseDocument['needs']>): boolean {
  const { changes } = needs;
  return (
    mark.state === 'deleting' &&
    (mark.snapshots.includes(needs.snapshot) ||
      (changes !== undefined &&
        mark.cuts.some(({ stream, at }) => stream === changes.stream && lsnOf(at) > lsnOf(changes.from))))
  );
}
