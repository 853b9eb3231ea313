import { generateIdentity, lockIdentity, recipientOf, unlockIdentity } from '../archive/age.ts';
import { Failure } from '../model/failure.ts';
import type { Store } from '../storage/store.ts';
import { keys } from './keys.ts';

interface CallOptions {
  readonly signal: AbortSignal;
}

/** An age file of one identity has some 300 bytes. Guards allocation. */
const MAX_BYTES = 64 * 1024;

/**
 * Makes a key pair and keeps its private half in the repository under a passphrase (`keys/identity.age`): whoever has
 * both can read all. Returns the public half, the recipient. One that is there, from an attempt that did not end, is taken when the passphrase opens it.
 */
export async function makeStoredIdentity(
  store: Store,
  passphrase: string,
  options: CallOptions,
): Promise<string> {
  const there = await readStoredIdentity(store, passphrase, options);
  if (there !== undefined) return recipientOf(there);
  const { identity, recipient } = await generateIdentity();
  const locked = await lockIdentity(identity, passphrase);
  const { outcome } = await store.putIfAbsent(keys.identity, locked, options);
  if (outcome === 'differs')
    throw new Failure('repository.exists_differs', `another program has just made ${keys.identity}`);
  return recipient;
}

/** The identity in the repository; undefined when there is none. Fails with `key.wrong`. Costs about a second. */
export async function readStoredIdentity(
  store: Store,
  passphrase: string,
  options: CallOptions,
): Promise<string | undefined> {
  const found = await store.stat(keys.identity, options);
  if (found === undefined) return undefined;
  if (found.sizeBytes > MAX_BYTES)
    throw new Failure('integrity.format', `${keys.identity} is too large to be an identity`);
  const chunks = await Array.fromAsync(await store.get(keys.identity, options), (chunk) =>
    Buffer.from(chunk),
  );
  return unlockIdentity(Buffer.concat(chunks), passphrase);
}
