import { Failure } from '../model/failure.ts';
import type { GetOptions, Store } from '../storage/store.ts';

/** A whole object in memory. Fails with `integrity.format` beyond `maxBytes`: such an object can't be that large. */
export async function readSmallObject(
  store: Store,
  key: string,
  options: GetOptions & { readonly maxBytes: number },
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of await store.get(key, options)) {
    size += chunk.length;
    if (size > options.maxBytes) {
      throw new Failure('integrity.format', `${key} is larger than such an object can be`, {
        facts: { object: key, maxBytes: options.maxBytes },
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
