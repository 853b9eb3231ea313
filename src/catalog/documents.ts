import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { parseDocument } from '../archive/document.ts';
import type { Signer, Trust } from '../archive/signature.ts';
import { Failure } from '../model/failure.ts';
import type { Store } from '../storage/store.ts';
import { keys } from './keys.ts';
import { checkSignature, putSignature } from './signatures.ts';
import { readSmallObject } from './small-object.ts';

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
  /** Undefined: whoever can write the repository may have written it. */
  readonly trust: Trust | undefined;
  readonly signal: AbortSignal;
}

/**
 * Reads and validates one JSON document. Undefined when it does not exist. With `trust` its signature is checked
 * before its bytes are looked at. Then fails with `repository.newer_format` before anything else is judged, else
 * `integrity.format`.
 */
export async function readDocument<T>(
  store: Store,
  key: string,
  options: ReadOptions<T>,
): Promise<ReadDocument<T> | undefined> {
  const bytes = await findSmallObject(store, key, options.signal);
  if (bytes === undefined) return undefined;
  const { trust, signal } = options;
  if (trust !== undefined) await checkSignature(store, { key, bytes }, { trust, signal });
  return {
    document: parseDocument(bytes, key, options.schema),
    sha256: createHash('sha256').update(bytes).digest('hex'),
    sizeBytes: bytes.length,
  };
}

/** One request, where a look before would make it two: an overview reads hundreds. */
async function findSmallObject(store: Store, key: string, signal: AbortSignal): Promise<Buffer | undefined> {
  try {
    return await readSmallObject(store, key, { signal, maxBytes: MAX_DOCUMENT_BYTES });
  } catch (error) {
    if (error instanceof Failure && error.code === 'repository.object_missing') return undefined;
    throw error;
  }
}

/** The bytes that `writeDocument` stores: readable by people, stable order, a final newline. */
export function encodeDocument(document: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(document, undefined, 1)}\n`, 'utf8');
}

/** How long another writer may take between its signature and its document. */
const BETWEEN_PUTS_MS = 3000;
const LOOK_AGAIN_MS = 250;
const TRIES = 5;

/**
 * Stores a document that several writers may make at once, each its own (`repository.json`, `source.json`), after
 * its signature: a document that is seen can be judged. False when another's stands there.
 *
 * A signature without a document was left by a writer that died between the two. It vouches for nothing that
 * exists, so it is replaced. Its writer may only have been slow: whose document came to be makes sure that
 * the signature beside it is its own.
 */
export async function putDocument(
  store: Store,
  document: { readonly key: string; readonly bytes: Buffer },
  options: { readonly signer: Signer | undefined; readonly signal: AbortSignal },
): Promise<boolean> {
  const { key, bytes } = document;
  const { signal } = options;
  const signature = options.signer?.sign(bytes);
  const isThere = (): Promise<boolean> => appears(store, key, signal);
  if (signature !== undefined && !(await replaceSignature(store, { key, signature }, { isThere, signal })))
    return false;
  const put = await store.putIfAbsent(key, bytes, { signal, contentType: 'application/json' });
  if (put.outcome === 'differs') return false;
  if (signature !== undefined)
    await replaceSignature(store, { key, signature }, { isThere: () => Promise.resolve(false), signal });
  return true;
}

/** False when another signature stands there and the document that it belongs to is there too. */
async function replaceSignature(
  store: Store,
  mine: { readonly key: string; readonly signature: Uint8Array },
  options: { readonly isThere: () => Promise<boolean>; readonly signal: AbortSignal },
): Promise<boolean> {
  const { signal } = options;
  for (let tries = 0; tries < TRIES; tries += 1) {
    if (await putSignature(store, mine.key, mine.signature, { signal })) return true;
    if (await options.isThere()) return false;
    await store.delete(keys.signature(mine.key), { signal });
  }
  throw new Failure('repository.exists_differs', `another writer keeps signing ${mine.key}`, {
    facts: { object: mine.key },
  });
}

async function appears(store: Store, key: string, signal: AbortSignal): Promise<boolean> {
  const until = performance.now() + BETWEEN_PUTS_MS;
  for (;;) {
    if ((await store.stat(key, { signal })) !== undefined) return true;
    if (performance.now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}
