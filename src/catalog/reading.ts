import type { Stretch } from '../archive/stream-names.ts';
import type { Lsn } from '../model/lsn.ts';
import type { KnownSegment } from './stream-runs.ts';
import { assertLinked } from './stream-view.ts';
import type { StreamView } from './stream-view.ts';

/** A segment to read, in order. */
interface ReadSegment extends Stretch {
  readonly key: string;
  readonly sizeBytes: number;
}

/** What a replay reads, in order, and how much it is. */
export interface Reading {
  readonly segments: readonly ReadSegment[];
  /** Stored bytes of segments, and of parts as far as chapters tell. */
  readonly bytes: bigint;
  /** In the segments that chapters tell of. */
  readonly transactions: number;
  /** Segments of the last hour, whose transactions nobody has counted. */
  readonly uncounted: number;
  /** The least that is known of DDL in any of its runs that chapters tell of. */
  readonly ddl: 'exact' | 'inferred' | 'unknown';
}

const CONFIDENCES = ['exact', 'inferred', 'unknown'] as const;

/**
 * The segments with what committed at or after `from`, before `to`. Chapters are read, and checked to follow each
 * other; segments behind the last one are known by name alone. Fails with `integrity.chain`.
 */
export async function readingBetween(view: StreamView, from: Lsn, to: Lsn): Promise<Reading> {
  const isNeeded = (stretch: Stretch): boolean => stretch.to > from && stretch.from < to;
  const segments: ReadSegment[] = [];
  const known: KnownSegment[] = [];
  for (const entry of view.pieces.flat().filter(isNeeded)) {
    const found = entry.kind === 'chapter' ? (await view.segmentsOf(entry)).filter(isNeeded) : [];
    for (const segment of found) {
      const before = known.at(-1);
      if (before !== undefined) assertLinked(before, segment, view.id);
      known.push(segment);
    }
    segments.push(...(entry.kind === 'chapter' ? found : [entry]).map(plain));
  }
  const runs = known.flatMap((segment) => segment.runs);
  const stored = segments.reduce((sum, segment) => sum + BigInt(segment.sizeBytes), 0n);
  return {
    segments,
    bytes: runs.reduce((sum, run) => sum + BigInt(run.partBytes), stored),
    transactions: runs.reduce((sum, run) => sum + run.transactions, 0),
    uncounted: segments.length - known.length,
    ddl: CONFIDENCES[Math.max(0, ...runs.map((run) => CONFIDENCES.indexOf(run.ddl)))] ?? 'unknown',
  };
}

function plain({ from, to, key, sizeBytes }: ReadSegment): ReadSegment {
  return { from, to, key, sizeBytes };
}
