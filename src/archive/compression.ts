import { promisify } from 'node:util';
import { constants, gunzip, gzip, zstdCompress, zstdDecompress } from 'node:zlib';
import { Failure } from '../model/failure.ts';
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

/** One part as one independent frame. Runs on libuv's threads. `none` returns the same bytes. */
export async function compress(bytes: Uint8Array, codec: Compression): Promise<Buffer> {
  switch (codec) {
    case 'zstd':
      return compressZstd(bytes, zstdOptions);
    case 'gzip':
      return compressGzip(bytes, { level: 6 });
    case 'none':
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
  try {
    switch (codec) {
      case 'zstd':
        return await decompressZstd(bytes, { maxOutputLength });
      case 'gzip':
        return await decompressGzip(bytes, { maxOutputLength });
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
