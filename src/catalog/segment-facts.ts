import { assertFollows, lsnOf } from '../archive/run-document.ts';
import type { RunDocument } from '../archive/run-document.ts';
import { readRunHead, runSizeBytes } from '../archive/run-head.ts';
import { readFirstMember } from '../archive/segment-reader.ts';
import type { StoredMember } from '../archive/segment-reader.ts';
import type { Stretch } from '../archive/stream-names.ts';
import { TAR_BLOCK_BYTES, TarReader } from '../archive/tar-reader.ts';
import { Failure } from '../model/failure.ts';
import type { Store } from '../storage/store.ts';
import type { Repository } from './repository.ts';

/** What a listing says of a segment. */
export interface ListedSegment extends Stretch {
  readonly key: string;
  readonly sizeBytes: number;
}

/** The facts of a run, most often: one request reads a segment's. */
const FIRST_READ_BYTES = 64 * 1024;
const READ_BYTES = 4 * 1024 * 1024;

/** What a run says of itself, and its first member as stored, when it is asked for. */
interface ListedRun {
  readonly run: RunDocument;
  /** Before the next run is asked for. Undefined for a run without members; the first one has the transactions. */
  firstMember(): Promise<StoredMember | undefined>;
}

/**
 * The runs of one segment without their changes: a request for each run, since a run's facts tell where the next one
 * begins. What is read is checked, its signature and the chain; the changes are not. Fails with `integrity.*`.
 */
export async function* readRunHeads(
  repository: Pick<Repository, 'store' | 'trust'>,
  segment: ListedSegment,
  options: { readonly stream: string; readonly signal: AbortSignal },
): AsyncGenerator<ListedRun> {
  const { key } = segment;
  const { trust } = repository;
  let before: RunDocument | undefined;
  // Two empty blocks end an archive.
  for (let [offset, number] = [0, 1]; offset < segment.sizeBytes - 2 * TAR_BLOCK_BYTES; number += 1) {
    await using tar = new TarReader(ranges(repository.store, { segment, offset, signal: options.signal }));
    const head = await readRunHead(tar, number, { object: key, trust });
    if (head === undefined) throw broken(segment, 'ends before its end');
    const { run } = head;
    const from = before === undefined ? segment.from : lsnOf(before.facts.to);
    if (run.facts.stream !== options.stream || lsnOf(run.facts.from) !== from)
      throw broken(segment, 'is another one than its name says');
    if (before !== undefined) assertFollows(before, run);
    before = run;
    yield { run, firstMember: () => readFirstMember(tar, run.facts, `${number}/`) };
    offset += runSizeBytes(head);
  }
  if (before === undefined || lsnOf(before.facts.to) !== segment.to)
    throw broken(segment, 'is another one than its name says');
}

/** What the runs of a segment say of themselves. */
export async function readSegmentFacts(
  repository: Pick<Repository, 'store' | 'trust'>,
  segment: ListedSegment,
  options: { readonly stream: string; readonly signal: AbortSignal },
): Promise<RunDocument[]> {
  const runs: RunDocument[] = [];
  for await (const { run } of readRunHeads(repository, segment, options)) runs.push(run);
  return runs;
}

async function* ranges(
  store: Store,
  what: { readonly segment: ListedSegment; readonly offset: number; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  const { key, sizeBytes } = what.segment;
  let length = FIRST_READ_BYTES;
  for (let offset = what.offset; offset < sizeBytes; offset += length, length = READ_BYTES) {
    const range = { offset, length: Math.min(length, sizeBytes - offset) };
    yield* await store.get(key, { range, signal: what.signal });
  }
}

function broken(segment: ListedSegment, what: string): Failure {
  return new Failure('integrity.format', `${segment.key} ${what}`, { facts: { object: segment.key } });
}
