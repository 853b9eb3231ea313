import { decodeChapter } from '../archive/chapter.ts';
import type { ChapterDocument } from '../archive/stream-documents.ts';
import type { Repository } from './repository.ts';
import { readSmallObject } from './small-object.ts';
import type { ListedSegment } from './segment-facts.ts';

/** As stored; an hour of small segments is a fraction of it. Guards allocation. */
const MAX_CHAPTER_BYTES = 256 * 1024 * 1024;

/** One chapter, by what a listing says of it: one request. Fails with `integrity.*`. */
export async function readChapter(
  repository: Pick<Repository, 'store' | 'trust'>,
  listed: ListedSegment,
  options: { readonly stream: string; readonly signal: AbortSignal },
): Promise<ChapterDocument> {
  const bytes = await readSmallObject(repository.store, listed.key, {
    signal: options.signal,
    maxBytes: MAX_CHAPTER_BYTES,
    range: { offset: 0, length: listed.sizeBytes },
  });
  return decodeChapter(bytes, {
    from: listed.from,
    to: listed.to,
    stream: options.stream,
    trust: repository.trust,
  });
}
