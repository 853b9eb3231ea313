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

/** Cuts a body into parts of the size that is asked for now; the last one is shorter. */
export async function* inParts(body: PutBody, sizeNow: () => number): AsyncGenerator<Buffer> {
  let waiting: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body instanceof Uint8Array ? [body] : body) {
    let rest = chunk;
    while (size + rest.length >= sizeNow()) {
      const taken = sizeNow() - size;
      yield Buffer.concat([...waiting, rest.subarray(0, taken)]);
      rest = rest.subarray(taken);
      waiting = [];
      size = 0;
    }
    if (rest.length > 0) {
      waiting.push(rest);
      size += rest.length;
    }
  }
  if (size > 0) yield Buffer.concat(waiting);
}
