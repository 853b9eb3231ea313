import { assertFollows, lsnOf, parseRunDocument } from '../archive/run-document.ts';
import type { RunDocument } from '../archive/run-document.ts';
import { readFirstMember } from '../archive/segment-reader.ts';
import type { StoredMember } from '../archive/segment-reader.ts';
import type { Stretch } from '../archive/stream-names.ts';
import { TarReader } from '../archive/tar-reader.ts';
import { Failure } from '../model/failure.ts';
import type { Store } from '../storage/store.ts';

/** What a listing says of a segment. */
export interface ListedSegment extends Stretch {
  readonly key: string;
  readonly sizeBytes: number;
}

const BLOCK_BYTES = 512;
/** The facts of a run, most often: one request reads a segment's. */
const FIRST_READ_BYTES = 64 * 1024;
const READ_BYTES = 4 * 1024 * 1024;

/** What a run says of itself, and its first member as stored, when it is asked for. */
interface RunHead {
  readonly run: RunDocument;
  /** Before the next run is asked for. Undefined for a run without members; the first one has the transactions. */
  firstMember(): Promise<StoredMember | undefined>;
}

/**
 * The runs of one segment without their changes: a request for each run, since a run's facts tell where the next one
 * begins. What is read is checked, and the chain; the changes are not. Fails with `integrity.*`.
 */
export async function* readRunHeads(
  store: Store,
  segment: ListedSegment,
  options: { readonly stream: string; readonly signal: AbortSignal },
): AsyncGenerator<RunHead> {
  let before: RunDocument | undefined;
  // Two empty blocks end an archive.
  for (let [offset, number] = [0, 1]; offset < segment.sizeBytes - 2 * BLOCK_BYTES; number += 1) {
    await using tar = new TarReader(ranges(store, { segment, offset, signal: options.signal }));
    const entry = await tar.next();
    const name = `${number}/segment.json`;
    if (entry?.name !== name) throw broken(segment, `has no ${name} where it must be`);
    const run = parseRunDocument(await tar.content(), `${segment.key}, ${name}`);
    const from = before === undefined ? segment.from : lsnOf(before.facts.to);
    if (run.facts.stream !== options.stream || lsnOf(run.facts.from) !== from)
      throw broken(segment, 'is another one than its name says');
    if (before !== undefined) assertFollows(before, run);
    before = run;
    yield { run, firstMember: () => readFirstMember(tar, run.facts, `${number}/`) };
    offset +=
      padded(entry.sizeBytes) + run.facts.members.reduce((sum, one) => sum + padded(one.sizeBytes), 0);
  }
  if (before === undefined || lsnOf(before.facts.to) !== segment.to)
    throw broken(segment, 'is another one than its name says');
}

/** What the runs of a segment say of themselves. */
export async function readSegmentFacts(
  store: Store,
  segment: ListedSegment,
  options: { readonly stream: string; readonly signal: AbortSignal },
): Promise<RunDocument[]> {
  const runs: RunDocument[] = [];
  for await (const { run } of readRunHeads(store, segment, options)) runs.push(run);
  return runs;
}

/** A member with its header, in whole blocks. */
function padded(sizeBytes: number): number {
  return BLOCK_BYTES + Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
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
