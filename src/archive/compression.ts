import { promisify } from 'node:util';
import { constants, gunzip, gzip, zstdCompress, zstdDecompress } from 'node:zlib';
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

const compressZstd = promisify(zstdCompress);
const decompressZstd = promisify(zstdDecompress);
const compressGzip = promisify(gzip);
const decompressGzip = promisify(gunzip);

/** One part as one independent frame, in memory of its own. Runs on libuv's threads. */
export async function compress(bytes: Uint8Array, codec: Compression): Promise<Buffer> {
  switch (codec) {
    case 'zstd':
      return trimmed(
        await compressZstd(bytes, {
          ...zstdOptions,
          pledgedSrcSize: bytes.length,
          chunkSize: outputChunk(bytes.length / 2),
        }),
      );
    case 'gzip':
      return trimmed(await compressGzip(bytes, { level: 6, chunkSize: outputChunk(bytes.length / 2) }));
    case 'none':
      return Buffer.from(bytes);
  }
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
  const maxOutputLength = Math.max(1, limits.maxBytes);
  const chunkSize = outputChunk(Math.min(limits.maxBytes, MOST_OUTPUT_AT_ONCE));
  try {
    switch (codec) {
      case 'zstd':
        return await decompressZstd(bytes, { maxOutputLength, chunkSize });
      case 'gzip':
        return await decompressGzip(bytes, { maxOutputLength, chunkSize });
      case 'none':
        if (bytes.byteLength > limits.maxBytes) throw new RangeError('larger than its limit');
        return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code === 'Z_BUF_ERROR')
      throw new Failure('integrity.truncated', `${codec} data ends early`, { cause });
    throw new Failure('integrity.format', `not ${codec} data of the size it should have`, { cause });
  }
}

/** A hostile list may claim any size: more than this is made piece by piece. */
const MOST_OUTPUT_AT_ONCE = 8 * 1024 * 1024;
const LEAST_OUTPUT_AT_ONCE = 64 * 1024;

/**
 * zlib's output buffer. With its 16 KiB default a part takes some sixty turns between this thread and the pool's:
 * a fifth of a snapshot's CPU time.
 */
function outputChunk(expectedBytes: number): number {
  return Math.max(LEAST_OUTPUT_AT_ONCE, Math.ceil(expectedBytes));
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
