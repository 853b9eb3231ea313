import type { Opener } from '../archive/age.ts';
import { checked } from '../archive/digest.ts';
import type { Manifest } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import { keys } from './keys.ts';
import type { Repository } from './repository.ts';

type Part = Manifest['parts'][number];

/**
 * A part of a snapshot as plain bytes, checked against the manifest's digest when it has been read to its end
 * and against age's own chunk digests on the way. Fails with `key.missing` when it is encrypted and no key is
 * given.
 */
export async function* readPart(
  at: { readonly repository: Repository; readonly manifest: Manifest; readonly part: Part },
  options: { readonly opener: Opener | undefined; readonly signal: AbortSignal },
): AsyncIterable<Uint8Array> {
  const key = keys.snapshotObject(at.manifest.source, at.manifest.id, at.part.name);
  const stored = checked(await at.repository.store.get(key, { signal: options.signal }), { ...at.part, key });
  if (!at.part.name.endsWith('.age')) {
    yield* stored;
    return;
  }
  if (options.opener === undefined) {
    throw new Failure('key.missing', `${key} is encrypted and no private key is given`, {
      facts: { object: key },
    });
  }
  yield* options.opener.openStream(stored);
}
