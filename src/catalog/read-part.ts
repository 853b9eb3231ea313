import type { Opener } from '../archive/age.ts';
import { checked } from '../archive/digest.ts';
import type { Manifest } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import { keys } from './keys.ts';
import type { Repository } from './repository.ts';

type Part = Manifest['parts'][number];

interface PartAt {
  readonly repository: Repository;
  readonly manifest: Manifest;
  readonly part: Part;
}

interface ReadOptions {
  readonly opener: Opener | undefined;
  /**
   * When the manifest's digest is compared. `first`: for what goes into a program, which acts on bytes as they come
   * and may stop reading before the end. `last`: for who waits for the end before anything is used.
   */
  readonly proof: 'first' | 'last';
  readonly signal: AbortSignal;
}

/** Schemas and roles are smaller; large objects and whole dumps are not. */
const MOST_IN_MEMORY_BYTES = 16 * 1024 * 1024;

/** Large parts that were read and found right; a restore reads a dump's contents several times. */
const seenRight = new WeakSet<Part>();

/**
 * A part of a snapshot as plain bytes, checked against the manifest's digest and against age's own chunk digests.
 * With `proof: 'first'` a small part is read into memory before any of it is handed on; a large one is read once more
 * before, where `trust` is configured (who swaps it between the two readings wins: staging reads only once). Fails
 * with `key.missing` when it is encrypted and no key is given.
 */
export async function* readPart(at: PartAt, options: ReadOptions): AsyncIterable<Uint8Array> {
  const stored = proven(at, options);
  if (!at.part.name.endsWith('.age')) {
    yield* stored;
    return;
  }
  if (options.opener === undefined) {
    const key = keyOf(at);
    throw new Failure('key.missing', `${key} is encrypted and no private key is given`, {
      facts: { object: key },
    });
  }
  yield* options.opener.openStream(stored);
}

async function* proven(at: PartAt, options: ReadOptions): AsyncGenerator<Uint8Array> {
  if (options.proof === 'first' && at.part.sizeBytes <= MOST_IN_MEMORY_BYTES) {
    yield* await Array.fromAsync(await storedBytes(at, options));
    return;
  }
  if (options.proof === 'first' && at.repository.trust !== undefined && !seenRight.has(at.part)) {
    for await (const chunk of await storedBytes(at, options)) void chunk;
    seenRight.add(at.part);
  }
  yield* await storedBytes(at, options);
}

async function storedBytes(
  at: PartAt,
  { signal }: { readonly signal: AbortSignal },
): Promise<AsyncIterable<Uint8Array>> {
  const key = keyOf(at);
  return checked(await at.repository.store.get(key, { signal }), { ...at.part, key });
}

function keyOf({ manifest, part }: PartAt): string {
  return keys.snapshotObject(manifest.source, manifest.id, part.name);
}
