import type { Opener, Sealer } from '../archive/age.ts';
import { encodePart } from '../archive/codec.ts';
import { decompress } from '../archive/compression.ts';
import { parseDocument } from '../archive/document.ts';
import { drillSchema } from '../archive/drill-document.ts';
import type { DrillDocument } from '../archive/drill-document.ts';
import { Failure } from '../model/failure.ts';
import { encodeDocument } from './documents.ts';
import { keys } from './keys.ts';
import type { Repository } from './repository.ts';
import { checkSignature, putSignature } from './signatures.ts';
import { readSmallObject } from './small-object.ts';

interface CallOptions {
  readonly signal: AbortSignal;
}

/** Guards allocation. */
const MAX_REPORT_BYTES = 64 * 1024 * 1024;
const NAME = /^([0-9A-Za-z-]+)\.json\.zst(\.age)?$/;

/** Stores what a drill has shown, encrypted where rows are: a check's value may be one of them. */
export async function publishDrill(
  repository: Repository,
  drill: DrillDocument,
  options: CallOptions & { readonly sealer: Sealer | undefined },
): Promise<void> {
  const { sealer, signal } = options;
  const bytes = await encodePart(encodeDocument(drillSchema.parse(drill)), { compression: 'zstd', sealer });
  const name = `${drill.id}.json.zst${sealer === undefined ? '' : '.age'}`;
  const key = keys.drillObject(drill.source, name);
  const signature = repository.signer?.sign(bytes);
  if (signature !== undefined) await putSignature(repository.store, key, signature, { signal });
  const { outcome } = await repository.store.putIfAbsent(key, bytes, { signal });
  if (outcome === 'differs')
    throw new Failure('repository.exists_differs', `another drill is stored as ${key}`, {
      facts: { object: key },
    });
}

/** All drills of a source that are stored, oldest first. Fails with `key.missing` where they are encrypted. */
export async function readDrills(
  repository: Repository,
  options: CallOptions & { readonly source: string; readonly opener: Opener | undefined },
): Promise<DrillDocument[]> {
  const { signal, source } = options;
  const prefix = keys.drills(source);
  const found: DrillDocument[] = [];
  for await (const { key } of repository.store.list(prefix, { signal }))
    if (NAME.test(key.slice(prefix.length))) found.push(await readDrill(repository, key, options));
  return found;
}

async function readDrill(
  repository: Repository,
  key: string,
  options: CallOptions & { readonly opener: Opener | undefined },
): Promise<DrillDocument> {
  const { signal, opener } = options;
  const { store, trust } = repository;
  const bytes = await readSmallObject(store, key, { signal, maxBytes: MAX_REPORT_BYTES });
  if (trust !== undefined) await checkSignature(store, { key, bytes }, { trust, signal });
  const isEncrypted = key.endsWith('.age');
  if (isEncrypted && opener === undefined)
    throw new Failure('key.missing', 'the reports of drills are encrypted');
  const packed = isEncrypted && opener !== undefined ? await opener.open(bytes) : bytes;
  const plain = await decompress(packed, 'zstd', { maxBytes: MAX_REPORT_BYTES });
  return parseDocument(plain, key, drillSchema);
}
