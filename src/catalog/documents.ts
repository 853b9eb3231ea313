import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { parseDocument } from '../archive/document.ts';
import { Failure } from '../model/failure.ts';
import type { Store } from '../storage/store.ts';

/** No document of ours is larger: a manifest of 100 000 tables stays below. Guards allocation. */
const MAX_DOCUMENT_BYTES = 256 * 1024 * 1024;

export interface ReadDocument<T> {
  readonly document: T;
  /** Over the bytes as stored. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

interface ReadOptions<T> {
  readonly schema: z.ZodType<T>;
  readonly signal: AbortSignal;
}

/**
 * Reads and validates one JSON document. Undefined when it does not exist.
 * Fails with `repository.newer_format` before anything else is judged, else `integrity.format`.
 */
export async function readDocument<T>(
  store: Store,
  key: string,
  options: ReadOptions<T>,
): Promise<ReadDocument<T> | undefined> {
  const stat = await store.stat(key, { signal: options.signal });
  if (stat === undefined) return undefined;
  const bytes = await readSmallObject(store, key, { signal: options.signal, maxBytes: MAX_DOCUMENT_BYTES });
  return {
    document: parseDocument(bytes, key, options.schema),
    sha256: createHash('sha256').update(bytes).digest('hex'),
    sizeBytes: bytes.length,
  };
}

/** The bytes that `writeDocument` stores: readable by people, stable order, a final newline. */
export function encodeDocument(document: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(document, undefined, 1)}\n`, 'utf8');
}

export async function readSmallObject(
  store: Store,
  key: string,
  options: { readonly signal: AbortSignal; readonly maxBytes: number },
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of await store.get(key, { signal: options.signal })) {
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
