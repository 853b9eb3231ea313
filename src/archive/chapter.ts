import { Failure } from '../model/failure.ts';
import { compress, decompress } from './compression.ts';
import { parseDocument } from './document.ts';
import { assertFollows, lsnOf } from './run-document.ts';
import type { RunDocument } from './run-document.ts';
import { chapterSchema } from './stream-documents.ts';
import type { ChapterDocument } from './stream-documents.ts';
import { SIGNATURE_BYTES, assertSigned } from './signature.ts';
import type { Signer, Trust } from './signature.ts';
import type { Stretch } from './stream-names.ts';

/** An hour of segments every ten seconds is some MiB. Guards allocation. */
const MAX_CHAPTER_BYTES = 256 * 1024 * 1024;

/** What segments say, so that a plan needs not open each of them; plain, also when changes are encrypted. */
export async function encodeChapter(chapter: ChapterDocument, signer?: Signer): Promise<Buffer> {
  const frame = await compress(Buffer.from(`${JSON.stringify(chapter)}\n`, 'utf8'), 'zstd');
  return signer === undefined
    ? frame
    : Buffer.concat([frame, skippableFrameHead(SIGNATURE_BYTES), signer.sign(frame)]);
}

/**
 * Reads a chapter and checks that its segments are those of `expected`, without a hole and chained, and with `trust`
 * its signature before its bytes are looked at. Fails with
 * `integrity.*`, `integrity.chain` where two runs don't follow, or `repository.newer_format`.
 */
export async function decodeChapter(
  bytes: Uint8Array,
  expected: Stretch & { readonly stream: string; readonly trust: Trust | undefined },
): Promise<ChapterDocument> {
  const { frame, signature } = partSignature(bytes);
  if (expected.trust !== undefined)
    assertSigned({ name: 'a chapter', bytes: frame, signature }, expected.trust);
  const json = await decompress(frame, 'zstd', { maxBytes: MAX_CHAPTER_BYTES });
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

/** A chapter is one object, so that it costs one request: its signature is in a frame that zstd's readers skip. */
function partSignature(bytes: Uint8Array): {
  readonly frame: Uint8Array;
  readonly signature: Uint8Array | undefined;
} {
  const head = skippableFrameHead(SIGNATURE_BYTES);
  const end = bytes.length - head.length - SIGNATURE_BYTES;
  if (end < 0 || !head.equals(bytes.subarray(end, end + head.length)))
    return { frame: bytes, signature: undefined };
  return { frame: bytes.subarray(0, end), signature: bytes.subarray(end + head.length) };
}

/** RFC 8878, 3.1.2: magic number and size of the content. */
function skippableFrameHead(sizeBytes: number): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x18_4d_2a_50, 0);
  head.writeUInt32LE(sizeBytes, 4);
  return head;
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
