import { encodeChapter } from '../archive/chapter.ts';
import {
  chapterSchema,
  gapSchema,
  markSchema,
  streamSchema,
  tablesSchema,
} from '../archive/stream-documents.ts';
import type {
  ChapterDocument,
  GapDocument,
  MarkDocument,
  StreamDocument,
  TablesDocument,
} from '../archive/stream-documents.ts';
import { chapterName, segmentName, tablesName } from '../archive/stream-names.ts';
import type { Stretch } from '../archive/stream-names.ts';
import { lsnOf } from '../archive/run-document.ts';
import { sha256Hex } from '../archive/digest.ts';
import { Failure } from '../model/failure.ts';
import { encodeDocument } from './documents.ts';
import { keys } from './keys.ts';
import type { Repository } from './repository.ts';
import { putSignature } from './signatures.ts';
import type { StreamAddress } from './streams.ts';

interface CallOptions {
  readonly signal: AbortSignal;
}

/** Begins a stream. Its SHA-256 is what the first run is chained to. */
export async function publishStream(
  repository: Repository,
  document: StreamDocument,
  options: CallOptions,
): Promise<{ readonly sha256: string }> {
  const bytes = encodeDocument(streamSchema.parse(document));
  const key = keys.streamDocument(document.source, document.id);
  await putSigned(repository, { key, bytes }, options);
  return { sha256: sha256Hex(bytes) };
}

/**
 * Stores a segment; once this returns, it is durable. A put whose answer was lost is a success when it is tried
 * again. Fails with `stream.other_writer` when another program stored something else under the name: what is there
 * stays, and the caller must stop.
 */
export async function publishSegment(
  repository: Repository,
  segment: StreamAddress & Stretch & { readonly bytes: Uint8Array },
  options: CallOptions,
): Promise<void> {
  const key = keys.streamObject(segment.source, segment.stream, segmentName(segment));
  await putOnce(repository, { key, bytes: segment.bytes }, options);
}

/** Stores a part of a transaction by its packed name. It counts only when a run lists it. */
export async function publishPart(
  repository: Repository,
  part: StreamAddress & { readonly name: string; readonly bytes: Uint8Array },
  options: CallOptions,
): Promise<void> {
  const key = keys.streamObject(part.source, part.stream, part.name);
  await putOnce(repository, { key, bytes: part.bytes }, options);
}

/** Stores an hour's table of contents. Two writers of one hour may differ: the first stays, and serves as well. */
export async function publishChapter(
  repository: Repository,
  at: StreamAddress,
  chapter: ChapterDocument,
  options: CallOptions,
): Promise<void> {
  const stretch = { from: lsnOf(chapter.from), to: lsnOf(chapter.to) };
  const key = keys.streamObject(at.source, at.stream, chapterName(stretch));
  const bytes = await encodeChapter(chapterSchema.parse(chapter), repository.signer);
  await repository.store.putIfAbsent(key, bytes, options);
}

export async function publishGap(
  repository: Repository,
  gap: GapDocument,
  options: CallOptions,
): Promise<void> {
  const key = keys.gap(gap.source, gap.id);
  const bytes = encodeDocument(gapSchema.parse(gap));
  await putSigned(repository, { key, bytes }, options);
}

export async function publishTables(
  repository: Repository,
  document: TablesDocument,
  options: CallOptions,
): Promise<void> {
  const name = tablesName(lsnOf(document.position));
  const key = keys.streamObject(document.source, document.stream, name);
  await putSigned(repository, { key, bytes: encodeDocument(tablesSchema.parse(document)) }, options);
}

export async function publishMark(
  repository: Repository,
  mark: MarkDocument,
  options: CallOptions,
): Promise<void> {
  const key = keys.mark(mark.source, mark.id);
  const bytes = encodeDocument(markSchema.parse(mark));
  await putSigned(repository, { key, bytes }, options);
}

/** A JSON document, behind its signature if the repository is signed. */
export async function putSigned(
  repository: Repository,
  document: { readonly key: string; readonly bytes: Buffer },
  options: CallOptions,
): Promise<void> {
  const { store, signer } = repository;
  const signature = signer?.sign(document.bytes);
  if (signature !== undefined && !(await putSignature(store, document.key, signature, options)))
    throw otherWriter(repository, document.key);
  await putOnce(repository, { ...document, contentType: 'application/json' }, options);
}

async function putOnce(
  repository: Repository,
  object: { readonly key: string; readonly bytes: Uint8Array; readonly contentType?: string },
  options: CallOptions,
): Promise<void> {
  const { outcome } = await repository.store.putIfAbsent(object.key, object.bytes, {
    signal: options.signal,
    ...(object.contentType !== undefined && { contentType: object.contentType }),
  });
  if (outcome === 'differs') throw otherWriter(repository, object.key);
}

function otherWriter({ store }: Repository, key: string): Failure {
  return new Failure('stream.other_writer', `another program has stored something else as ${key}`, {
    facts: { object: key, location: store.location },
  });
}
