import { FORMAT_VERSION } from '../archive/manifest.ts';
import { assertFollows } from '../archive/run-document.ts';
import type { RunDocument } from '../archive/run-document.ts';
import type { ChapterDocument } from '../archive/stream-documents.ts';
import { formatLsn } from '../model/lsn.ts';
import type { Stretch } from '../archive/stream-names.ts';

/** A segment that was stored, as who stored it knows it. */
export interface ChapterSegment extends Stretch {
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly runs: readonly RunDocument[];
}

/**
 * The table of contents of segments that follow each other: those of a finished hour. The caller gives them in
 * order; anything else is `integrity.chain`, none at all a TypeError.
 */
export function chapterOf(stream: string, segments: readonly ChapterSegment[]): ChapterDocument {
  const [first, last] = [segments[0], segments.at(-1)];
  if (first === undefined || last === undefined) throw new TypeError('a chapter has segments');
  const runs = segments.flatMap((segment) => segment.runs);
  for (const [index, run] of runs.entries()) {
    const before = runs[index - 1];
    if (before !== undefined) assertFollows(before, run);
  }
  return {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-chapter',
    stream,
    from: formatLsn(first.from),
    to: formatLsn(last.to),
    segments: segments.map(({ from, to, sizeBytes, sha256, runs }) => ({
      from: formatLsn(from),
      to: formatLsn(to),
      sizeBytes,
      sha256,
      runs: runs.map(({ facts, chain }) => ({ facts, chain })),
    })),
  };
}
