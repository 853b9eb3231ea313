import { lend } from '../archive/external-memory.ts';
import type { PutBody } from './store.ts';

const MIB = 1024 * 1024;
const FIRST_PART_BYTES = 6 * MIB;
const PARTS_OF_ONE_SIZE = 1000;

/**
 * Size of the part with this number, from 1. S3 takes 10 000 parts of 5 MiB to 5 GiB, and the length of a body
 * isn't known: sizes double every 1000 parts, so that more than S3's 5 TiB fit, while an archive of some GiB
 * never needs more than the first size. Three parts are in memory at once.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
 */
export function partBytes(number: number): number {
  return FIRST_PART_BYTES * 2 ** Math.trunc((number - 1) / PARTS_OF_ONE_SIZE);
}

/**
 * Cuts a body into parts of the size that is asked for now; the last one is shorter. A part's memory is lent: it is used
 * again after `release`.
 */
export async function* inParts(body: PutBody, sizeNow: () => number): AsyncGenerator<Buffer> {
  if (body instanceof Uint8Array && body.length <= sizeNow()) {
    if (body.length > 0) yield Buffer.from(body.buffer, body.byteOffset, body.length);
    return;
  }
  const free: SharedArrayBuffer[] = [];
  let part: Buffer | undefined;
  let filled = 0;
  for await (const chunk of body instanceof Uint8Array ? [body] : body) {
    for (let at = 0; at < chunk.length;) {
      part ??= takePart(sizeNow(), free);
      const taken = Math.min(part.length - filled, chunk.length - at);
      part.set(chunk.subarray(at, at + taken), filled);
      at += taken;
      filled += taken;
      if (filled < part.length) break;
      yield part;
      part = undefined;
      filled = 0;
    }
  }
  if (part !== undefined) yield part.subarray(0, filled);
}

function takePart(bytes: number, free: SharedArrayBuffer[]): Buffer {
  const last = free.pop();
  const memory = last?.byteLength === bytes ? last : new SharedArrayBuffer(bytes);
  return lend(memory, bytes, () => free.push(memory));
}
