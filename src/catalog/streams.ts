import { gapSchema, markSchema, streamSchema } from '../archive/stream-documents.ts';
import type { GapDocument, MarkDocument, StreamDocument } from '../archive/stream-documents.ts';
import { parseChapterName, parseSegmentName } from '../archive/stream-names.ts';
import { Failure } from '../model/failure.ts';
import { lsnKey } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { readDocument } from './documents.ts';
import type { ReadDocument } from './documents.ts';
import { listFolders } from './folders.ts';
import { keys } from './keys.ts';
import type { Repository } from './repository.ts';
import type { ListedSegment } from './segment-facts.ts';

interface CallOptions {
  readonly signal: AbortSignal;
}

/** Where a stream is. */
export interface StreamAddress {
  readonly source: string;
  readonly stream: string;
}

/** Ids of a source's streams, oldest first: a request for each, whatever they hold. */
export async function listStreams(
  repository: Repository,
  options: CallOptions & { readonly source: string },
): Promise<string[]> {
  const prefix = keys.streams(options.source);
  return Array.fromAsync(listFolders(repository.store, prefix, options));
}

/** `stream.json`, and where the chain begins. Fails with `repository.object_missing`, or `integrity.format`. */
export async function readStream(
  repository: Repository,
  at: StreamAddress,
  options: CallOptions,
): Promise<ReadDocument<StreamDocument>> {
  const key = keys.streamDocument(at.source, at.stream);
  const { store, trust } = repository;
  const found = await readDocument(store, key, { schema: streamSchema, trust, signal: options.signal });
  if (found === undefined)
    throw new Failure('repository.object_missing', `${key} is not there`, { facts: { object: key } });
  const { id, source, repositoryId } = found.document;
  if (id !== at.stream || source !== at.source || repositoryId !== repository.document.repositoryId)
    throw new Failure('integrity.format', `${key} belongs to another stream, source or repository`, {
      facts: { object: key },
    });
  return found;
}

/** Segments in the order of their names, from a listing alone; those that begin at or after `from`, before `until`. */
export async function listSegments(
  repository: Repository,
  at: StreamAddress,
  options: CallOptions & { readonly from?: Lsn | undefined; readonly until?: Lsn | undefined },
): Promise<ListedSegment[]> {
  const prefix = keys.stream(at.source, at.stream);
  const after = options.from === undefined ? undefined : prefix + lsnKey(options.from);
  const found: ListedSegment[] = [];
  for await (const { key, sizeBytes } of repository.store.list(prefix, { signal: options.signal, after })) {
    const stretch = parseSegmentName(key.slice(prefix.length));
    // Chapters and parts come behind all segments: lower-case letters follow hex digits.
    const isBehind =
      stretch === undefined ? key > `${prefix}a` : stretch.from >= (options.until ?? stretch.to);
    if (isBehind) break;
    if (stretch !== undefined) found.push({ ...stretch, key, sizeBytes });
  }
  return found;
}

/** Chapters in the order of their names. */
export async function listChapters(
  repository: Repository,
  at: StreamAddress,
  options: CallOptions,
): Promise<ListedSegment[]> {
  const folder = keys.stream(at.source, at.stream);
  const found: ListedSegment[] = [];
  for await (const { key, sizeBytes } of repository.store.list(`${folder}chapters/`, options)) {
    const stretch = parseChapterName(key.slice(folder.length));
    if (stretch !== undefined) found.push({ ...stretch, key, sizeBytes });
  }
  return found;
}

/** All gaps of a source, oldest first. */
export function readGaps(
  repository: Repository,
  options: CallOptions & { readonly source: string },
): Promise<GapDocument[]> {
  return readAll(repository, keys.gaps(options.source), { schema: gapSchema, ...options });
}

/** All marks of a source, oldest first. */
export function readMarks(
  repository: Repository,
  options: CallOptions & { readonly source: string },
): Promise<MarkDocument[]> {
  return readAll(repository, keys.marks(options.source), { schema: markSchema, ...options });
}

async function readAll<T extends { readonly source: string }>(
  repository: Repository,
  prefix: string,
  options: Omit<Parameters<typeof readDocument<T>>[2], 'trust'> & { readonly source: string },
): Promise<T[]> {
  const found: T[] = [];
  for await (const { key } of repository.store.list(prefix, { signal: options.signal })) {
    if (!key.endsWith('.json')) continue;
    const read = await readDocument(repository.store, key, { ...options, trust: repository.trust });
    if (read === undefined) continue;
    if (read.document.source !== options.source)
      throw new Failure('integrity.format', `${key} is of another source`, { facts: { object: key } });
    found.push(read.document);
  }
  return found;
}
