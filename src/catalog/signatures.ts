import { assertSigned } from '../archive/signature.ts';
import type { Signer, Trust } from '../archive/signature.ts';
import { Failure } from '../model/failure.ts';
import type { Store } from '../storage/store.ts';
import { keys } from './keys.ts';
import { readSmallObject } from './small-object.ts';

/** Who signs what is written, and whose signatures count in what is read. Undefined: nobody signs; nothing is asked. */
export interface Signing {
  readonly signer: Signer | undefined;
  readonly trust: Trust | undefined;
}

interface CallOptions {
  readonly signal: AbortSignal;
}

/** A signature is 64 bytes; this only bounds what a stranger may have put there. */
const MAX_SIGNATURE_BYTES = 4096;

/** Stores the signature of a document that is yet to come. False when another signature holds its name. */
export async function putSignature(
  store: Store,
  key: string,
  signature: Uint8Array,
  options: CallOptions,
): Promise<boolean> {
  const { signal } = options;
  return (await store.putIfAbsent(keys.signature(key), signature, { signal })).outcome !== 'differs';
}

/** Fails with `integrity.unsigned` or `integrity.signature` unless a trusted key signed exactly these bytes. */
export async function checkSignature(
  store: Store,
  document: { readonly key: string; readonly bytes: Uint8Array },
  options: CallOptions & { readonly trust: Trust },
): Promise<void> {
  const { key, bytes } = document;
  const signature = await readSignature(store, key, options);
  assertSigned({ name: key, bytes, signature }, options.trust);
}

/** Whether a failure says that a document is not authentic, rather than that it can't be read. */
export function isNotAuthentic({ code }: Failure): boolean {
  return code === 'integrity.unsigned' || code === 'integrity.signature';
}

async function readSignature(
  store: Store,
  key: string,
  { signal }: CallOptions,
): Promise<Buffer | undefined> {
  try {
    return await readSmallObject(store, keys.signature(key), { signal, maxBytes: MAX_SIGNATURE_BYTES });
  } catch (error) {
    if (error instanceof Failure && error.code === 'repository.object_missing') return undefined;
    throw error;
  }
}
