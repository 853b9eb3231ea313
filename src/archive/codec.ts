import { Failure } from '../model/failure.ts';
import type { Opener, Sealer } from './age.ts';
import { compress, decompress } from './compression.ts';
import type { Compression } from './manifest.ts';

/** COPY bytes into stored bytes: compressed, then encrypted. */
export async function encodePart(
  bytes: Uint8Array,
  how: { readonly compression: Compression; readonly sealer: Sealer | undefined },
): Promise<Buffer> {
  const packed = await compress(bytes, how.compression);
  return how.sealer === undefined ? packed : how.sealer.seal(packed);
}

/** Undoes `encodePart`; what comes out has exactly the size that the member list gives, or it fails. */
export async function decodePart(
  stored: Uint8Array,
  how: { readonly compression: Compression; readonly opener: Opener | undefined; readonly copyBytes: number },
): Promise<Buffer> {
  const packed = how.opener === undefined ? stored : await how.opener.open(stored);
  const bytes = await decompress(packed, how.compression, { maxBytes: how.copyBytes });
  if (bytes.length !== how.copyBytes) {
    throw new Failure('integrity.format', `a part holds ${bytes.length} bytes instead of ${how.copyBytes}`);
  }
  return bytes;
}
