import { Failure } from '../model/failure.ts';
import { compress, decompress } from './compression.ts';
import { parseDocument } from './document.ts';
import { assertFollows, lsnOf } from './run-document.ts';
import type { RunDocument } from './run-document.ts';
import { chapterSchema } from './stream-documents.ts';
import type { ChapterDocument } from './stream-documents.ts';
import type { Stretch } from './stream-names.ts';

/** An hour of segments every ten seconds is some MiB. Guards allocation. */
const MAX_CHAPTER_BYTES = 256 * 1024 * 1024;

/** What segments say, so that a plan needs not open each of them; plain, also when changes are encrypted. */
export function encodeChapter(chapter: ChapterDocument): Promise<Buffer> {
  return compress(Buffer.from(`${JSON.stringify(chapter)}\n`, 'utf8'), 'zstd');
}

/**
 * Reads a chapter and checks that its segments are those of `expected`, without a hole and chained. Fails with
 * `integrity.*`, `integrity.chain` where two runs don't follow, or `repository.newer_format`.
 */
export async function decodeChapter(
  bytes: Uint8Array,
  expected: Stretch & { readonly stream: string },
): Promise<ChapterDocument> {
  const json = await decompress(bytes, 'zstd', { maxBytes: MAX_CHAPTER_BYTES });
  const chapter = parseDocument(json, 'a chapter', chapterSchema);
  const runs = chapter.segments.flatMap((segment) => checkedRuns(segment, chapter));
  for (const [index, run] of runs.entries()) {
    const before = runs[index - 1];
    if (before !== undefined) assertFollows(before, run);
  }
  const isWhole =
    chapter.stream === expected.stream &&
    isStretch(chapter, expected.from, expected.to) &&
    isStretch(
      { from: runs[0]?.facts.from ?? '', to: runs.at(-1)?.facts.to ?? '' },
      expected.from,
      expected.to,
    );
  if (!isWhole) throw broken('is another one than its name says');
  return chapter;
}

function checkedRuns(
  segment: ChapterDocument['segments'][number],
  { stream }: ChapterDocument,
): RunDocument[] {
  const { runs, from, to } = segment;
  const fits = runs[0]?.facts.from === from && runs.at(-1)?.facts.to === to;
  if (!fits || runs.some(({ facts }) => facts.stream !== stream)) throw broken('has a segment of other runs');
  return runs;
}

function isStretch(found: { readonly from: string; readonly to: string }, from: bigint, to: bigint): boolean {
  return found.from !== '' && lsnOf(found.from) === from && lsnOf(found.to) === to;
}

function broken(what: string): Failure {
  return new Failure('integrity.format', `a chapter ${what}`);
}
