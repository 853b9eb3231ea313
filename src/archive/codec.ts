import { Failure } from '../model/failure.ts';
import type { Opener, Sealer } from './age.ts';
import type { CodecThreads } from './codec-threads.ts';
import { compress, decompress } from './compression.ts';
import { release } from './external-memory.ts';
import type { Compression } from './manifest.ts';
import { PART_BYTES } from './member-name.ts';

/** Below it a turn to another thread costs more than the work. */
const LEAST_FOR_THREADS = 32 * 1024;

/** COPY bytes into stored bytes: compressed, then encrypted. What comes out may be lent: `release` it after use. */
export async function encodePart(
  bytes: Uint8Array,
  how: {
    readonly compression: Compression;
    readonly sealer: Sealer | undefined;
    readonly threads?: CodecThreads | undefined;
  },
): Promise<Buffer> {
  const { compression, sealer, threads } = how;
  const byThread = threads !== undefined && bytes.length >= LEAST_FOR_THREADS && bytes.length <= PART_BYTES;
  const packed =
    byThread && compression !== 'none'
      ? await threads.compress(bytes, compression)
      : await compress(bytes, compression);
  if (sealer === undefined) return packed;
  const sealed = await sealer.seal(packed);
  release(packed);
  return sealed;
}

/**
 * Undoes `encodePart`; what comes out has exactly the size that the member list gives, or it fails. It may be lent:
 * `release` it after use.
 */
export async function decodePart(
  stored: Uint8Array,
  how: {
    readonly compression: Compression;
    readonly opener: Opener | undefined;
    readonly copyBytes: number;
    readonly threads?: CodecThreads | undefined;
  },
): Promise<Buffer> {
  const { compression, opener, threads, copyBytes } = how;
  const packed = opener === undefined ? stored : await opener.open(stored);
  const byThread =
    threads !== undefined &&
    copyBytes >= LEAST_FOR_THREADS &&
    Math.max(copyBytes, packed.length) <= PART_BYTES;
  const limits = { maxBytes: copyBytes };
  const bytes =
    byThread && compression !== 'none'
      ? await threads.decompress(packed, compression, limits)
      : await decompress(packed, compression, limits);
  if (packed !== stored && packed.buffer !== bytes.buffer) release(packed);
  if (bytes.length !== copyBytes) {
    release(bytes);
    throw new Failure('integrity.format', `a part holds ${bytes.length} bytes instead of ${copyBytes}`);
  }
  return bytes;
}
