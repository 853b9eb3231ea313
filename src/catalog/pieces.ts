import type { Stretch } from '../archive/stream-names.ts';

/** A stored stretch; with its digests, where they are known, it fits only what it was chained to. */
export interface Link extends Stretch {
  /** Chain digest of the run before its first one. */
  readonly previous?: string | undefined;
  /** Chain digest of its last run. */
  readonly chain?: string | undefined;
}

/**
 * What a set of segments (or chapters) covers: pieces without a hole, in order, each the stretches to read one after
 * the other. Usually one piece.
 *
 * Every writer begins where a stored segment ends, so each segment has one that it follows exactly, back to the
 * stream's start; walking back from the end therefore finds a path also where a zombie wrote beside its successor,
 * or a merged segment stands beside those that it was made of. Where nothing fits exactly, a stretch that overlaps is
 * taken: readers drop commits that they have seen. Where nothing does, there is a hole.
 */
export function pieces<Stored extends Link>(stored: readonly Stored[]): Stored[][] {
  const byEnd = new Map<bigint, Stored[]>();
  for (const one of stored) byEnd.set(one.to, [...(byEnd.get(one.to) ?? []), one]);
  const ends = [...byEnd.keys()].sort(descending);
  const reach = reaches(byEnd);
  const found: Stored[][] = [];
  let below: bigint | undefined;
  for (;;) {
    const end = ends.find((candidate) => below === undefined || candidate <= below);
    if (end === undefined) return found.reverse();
    const piece: Stored[] = [];
    let next = best(byEnd.get(end) ?? [], reach);
    while (next !== undefined) {
      piece.push(next);
      next = before(next, { byEnd, reach, stored });
    }
    found.push(piece.reverse());
    below = piece[0]?.from;
  }
}

/** Whether `next` may follow `one` exactly. Digests that are not known don't object. */
export function fits(one: Link, next: Link): boolean {
  if (one.to !== next.from) return false;
  return one.chain === undefined || next.previous === undefined || one.chain === next.previous;
}

/** How far back an unbroken path goes from each stretch. */
function reaches<Stored extends Link>(byEnd: ReadonlyMap<bigint, readonly Stored[]>): Map<Stored, bigint> {
  const reach = new Map<Stored, bigint>();
  for (const end of [...byEnd.keys()].sort((a, b) => descending(b, a))) {
    for (const one of byEnd.get(end) ?? []) {
      const earlier = (byEnd.get(one.from) ?? []).filter((candidate) => fits(candidate, one));
      reach.set(
        one,
        earlier.map((candidate) => reach.get(candidate) ?? candidate.from).reduce(lesser, one.from),
      );
    }
  }
  return reach;
}

function before<Stored extends Link>(
  one: Stored,
  among: {
    readonly byEnd: ReadonlyMap<bigint, readonly Stored[]>;
    readonly reach: ReadonlyMap<Stored, bigint>;
    readonly stored: readonly Stored[];
  },
): Stored | undefined {
  const exact = (among.byEnd.get(one.from) ?? []).filter((candidate) => fits(candidate, one));
  if (exact.length > 0) return best(exact, among.reach);
  // Rare: the whole list is looked at only where the path breaks.
  return best(
    among.stored.filter((candidate) => candidate.from < one.from && candidate.to > one.from),
    among.reach,
  );
}

/** What leads back furthest; of those, the longest: fewest objects to read. */
function best<Stored extends Link>(
  candidates: readonly Stored[],
  reach: ReadonlyMap<Stored, bigint>,
): Stored | undefined {
  return [...candidates].sort(
    (a, b) => -descending(reach.get(a) ?? a.from, reach.get(b) ?? b.from) || -descending(a.from, b.from),
  )[0];
}

function descending(a: bigint, b: bigint): number {
  return a < b ? 1 : a > b ? -1 : 0;
}

function lesser(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
