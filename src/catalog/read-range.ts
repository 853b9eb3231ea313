import type { Opener } from '../archive/age.ts';
import { decodePart } from '../archive/codec.ts';
import type { CodecThreads } from '../archive/codec-threads.ts';
import { sha256Hex } from '../archive/digest.ts';
import { release } from '../archive/external-memory.ts';
import type { Compression } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import type { Store } from '../storage/store.ts';
import type { LocatedMember, StoredRange } from './member-index.ts';

export interface ReadHow {
  readonly store: Store;
  /** Key of an object of the snapshot by its name. */
  readonly keyOf: (name: string) => string;
  readonly compression: Compression;
  readonly opener: Opener | undefined;
  /** Without them, libuv's threads do the work. */
  readonly threads?: CodecThreads;
  readonly signal: AbortSignal;
}

/** Parts read and decoded ahead of the one being used: each is memory for every connection. */
const READ_AHEAD = 1;

/**
 * The COPY stream of one range. A part is handed on only when its digest and size were right, so that a
 * truncated object can't become a table that looks complete (REPLICATION, I 20). Reads only the range's bytes.
 * A chunk is valid until the next one is asked for: its memory is given back then.
 */
export async function* readRange(range: StoredRange, how: ReadHow): AsyncIterable<Buffer> {
  const ahead: Promise<Buffer>[] = [];
  for await (const { part, stored } of storedParts(range, how)) {
    const decoded = decode(part, stored, how);
    decoded.catch(() => undefined);
    ahead.push(decoded);
    const ready = ahead.length > READ_AHEAD ? await ahead.shift() : undefined;
    if (ready === undefined) continue;
    yield ready;
    release(ready);
  }
  for (const decoded of ahead) {
    const ready = await decoded;
    yield ready;
    release(ready);
  }
}

/** The parts' stored bytes in order, one request for each run of neighbours in an archive. */
async function* storedParts(
  range: StoredRange,
  how: Pick<ReadHow, 'store' | 'keyOf' | 'signal'>,
): AsyncIterable<{ part: LocatedMember; stored: Buffer }> {
  for (const part of range.parts) if (part.sizeBytes === 0) yield { part, stored: Buffer.alloc(0) };
  for (const run of neighbours(range.parts.filter((part) => part.sizeBytes > 0))) {
    const [first] = run;
    const last = run.at(-1);
    if (first === undefined || last === undefined) continue;
    const body = await how.store.get(how.keyOf(first.archive), {
      signal: how.signal,
      range: { offset: first.offset, length: last.offset + last.sizeBytes - first.offset },
    });
    yield* cut(body, run, first.offset);
  }
}

async function decode(part: LocatedMember, stored: Buffer, how: ReadHow): Promise<Buffer> {
  if (sha256Hex(stored) !== part.sha256) {
    throw new Failure('integrity.digest', `${part.archive}: ${part.name} is not what was stored`, {
      facts: { object: part.archive, member: part.name },
    });
  }
  const decoded = await decodePart(stored, { ...how, copyBytes: part.copyBytes });
  if (decoded.buffer !== stored.buffer) release(stored);
  return decoded;
}

/** Headers between neighbours cost 512 bytes; a member of another range between them ends the run. */
const MOST_GAP_BYTES = 2048;

function neighbours(parts: readonly LocatedMember[]): LocatedMember[][] {
  const runs: LocatedMember[][] = [];
  for (const part of parts) {
    const before = runs.at(-1)?.at(-1);
    const gap = before?.archive === part.archive ? part.offset - before.offset - before.sizeBytes : -1;
    if (gap >= 0 && gap <= MOST_GAP_BYTES) runs.at(-1)?.push(part);
    else runs.push([part]);
  }
  return runs;
}

async function* cut(
  body: AsyncIterable<Uint8Array>,
  run: readonly LocatedMember[],
  start: number,
): AsyncIterable<{ part: LocatedMember; stored: Buffer }> {
  const waiting = run.values();
  let part = waiting.next().value;
  let stored = Buffer.allocUnsafe(part?.sizeBytes ?? 0);
  let position = start;
  for await (const chunk of body) {
    for (let at = 0; part !== undefined && at < chunk.length;) {
      const skip = Math.min(Math.max(part.offset - position, 0), chunk.length - at);
      at += skip;
      position += skip;
      if (position < part.offset) break;
      const taken = Math.min(chunk.length - at, part.offset + part.sizeBytes - position);
      stored.set(chunk.subarray(at, at + taken), position - part.offset);
      at += taken;
      position += taken;
      if (position < part.offset + part.sizeBytes) break;
      yield { part, stored };
      part = waiting.next().value;
      stored = Buffer.allocUnsafe(part?.sizeBytes ?? 0);
    }
  }
  if (part !== undefined) {
    throw new Failure('integrity.truncated', `${part.archive} ends before ${part.name}`, {
      facts: { object: part.archive, member: part.name },
    });
  }
}
