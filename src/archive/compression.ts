import { promisify } from 'node:util';
import {
  constants,
  gunzip,
  gunzipSync,
  gzip,
  gzipSync,
  zstdCompress,
  zstdCompressSync,
  zstdDecompress,
  zstdDecompressSync,
} from 'node:zlib';
import { Failure } from '../model/failure.ts';
import { trimmed } from './external-memory.ts';
import type { Compression } from './manifest.ts';

const zstdOptions = {
  params: {
    [constants.ZSTD_c_compressionLevel]: 1,
    // Guards the plaintext: a reader without our digests still notices damage.
    [constants.ZSTD_c_checksumFlag]: 1,
  },
};
const GZIP_LEVEL = 6;

const compressZstd = promisify(zstdCompress);
const decompressZstd = promisify(zstdDecompress);
const compressGzip = promisify(gzip);
const decompressGzip = promisify(gunzip);

/** One part as one independent frame, in memory of its own. Runs on libuv's threads. */
export async function compress(bytes: Uint8Array, codec: Compression): Promise<Buffer> {
  switch (codec) {
    case 'zstd':
      return trimmed(await compressZstd(bytes, zstdOptionsFor(bytes.length)));
    case 'gzip':
      return trimmed(await compressGzip(bytes, gzipOptionsFor(bytes.length)));
    case 'none':
      return Buffer.from(bytes);
  }
}

/** The same on the calling thread. */
export function compressNow(bytes: Uint8Array, codec: Exclude<Compression, 'none'>): Buffer {
  return codec === 'zstd'
    ? zstdCompressSync(bytes, zstdOptionsFor(bytes.length))
    : gzipSync(bytes, gzipOptionsFor(bytes.length));
}

/** Bytes that a frame of so many can take at most, with room to spare (zstd.h, ZSTD_COMPRESSBOUND; zlib's deflateBound). */
export function compressBound(bytes: number): number {
  return bytes + (bytes >> 8) + 1024;
}

/**
 * Undoes `compress`. Never makes more than `maxBytes`, whatever the frame claims. Fails with
 * `integrity.format`, or `integrity.truncated` when the frame ends early.
 */
export async function decompress(
  bytes: Uint8Array,
  codec: Compression,
  limits: { readonly maxBytes: number },
): Promise<Buffer> {
  try {
    switch (codec) {
      case 'zstd':
        return await decompressZstd(bytes, outputOptions(limits));
      case 'gzip':
        return await decompressGzip(bytes, outputOptions(limits));
      case 'none':
        if (bytes.byteLength > limits.maxBytes) throw new RangeError('larger than its limit');
        return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
  } catch (cause) {
    throw brokenFrame(codec, cause);
  }
}

/** The same on the calling thread, with the same failures. */
export function decompressNow(
  bytes: Uint8Array,
  codec: Exclude<Compression, 'none'>,
  limits: { readonly maxBytes: number },
): Buffer {
  try {
    return codec === 'zstd'
      ? zstdDecompressSync(bytes, outputOptions(limits))
      : gunzipSync(bytes, outputOptions(limits));
  } catch (cause) {
    throw brokenFrame(codec, cause);
  }
}

/**
 * Room for all in one piece: so zstd, called at once, needs no copy of its input's window, which costs a tenth more;
 * with zlib's 16 KiB default a part takes some sixty turns between this thread and the pool's.
 */
function zstdOptionsFor(bytes: number) {
  return {
    ...zstdOptions,
    pledgedSrcSize: bytes,
    chunkSize: Math.max(LEAST_OUTPUT_AT_ONCE, compressBound(bytes)),
  };
}

function gzipOptionsFor(bytes: number) {
  return { level: GZIP_LEVEL, chunkSize: Math.max(LEAST_OUTPUT_AT_ONCE, Math.ceil(bytes / 2)) };
}

/** A hostile list may claim any size: more than this is made piece by piece. */
const MOST_OUTPUT_AT_ONCE = 8 * 1024 * 1024;
const LEAST_OUTPUT_AT_ONCE = 64 * 1024;

function outputOptions({ maxBytes }: { readonly maxBytes: number }) {
  return {
    maxOutputLength: Math.max(1, maxBytes),
    chunkSize: Math.max(LEAST_OUTPUT_AT_ONCE, Math.min(maxBytes, MOST_OUTPUT_AT_ONCE)),
  };
}

function brokenFrame(codec: Compression, cause: unknown): Failure {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return code === 'Z_BUF_ERROR'
    ? new Failure('integrity.truncated', `${codec} data ends early`, { cause })
    : new Failure('integrity.format', `not ${codec} data of the size it should have`, { cause });
}

/** What a member's name ends with. */
export function compressionSuffix(codec: Compression): '.zst' | '.gz' | '' {
  switch (codec) {
    case 'zstd':
      return '.zst';
    case 'gzip':
      return '.gz';
    case 'none':
      return '';
  }
}
