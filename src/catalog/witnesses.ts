import type { Opener, Sealer } from '../archive/age.ts';
import { decodePart, encodePart } from '../archive/codec.ts';
import { sha256Hex } from '../archive/digest.ts';
import { digestLineSchema, witnessSchema } from '../archive/witness-document.ts';
import type { WitnessDocument } from '../archive/witness-document.ts';
import { Failure } from '../model/failure.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { encodeDocument, putDocument, readDocument } from './documents.ts';
import { keys } from './keys.ts';
import type { Repository } from './repository.ts';
import { readSmallObject } from './small-object.ts';

interface CallOptions {
  readonly signal: AbortSignal;
}

/** Sums of the four quarters of each row's digest. */
export type Lanes = readonly [bigint, bigint, bigint, bigint];

/** A line for each table is 200 bytes. Guards allocation. */
const MAX_DIGESTS_BYTES = 256 * 1024 * 1024;

/** Stores a witness, its digests first: it exists when its document does. */
export async function publishWitness(
  repository: Repository,
  witness: Omit<WitnessDocument, 'digests' | 'encryptedTo'>,
  options: CallOptions & { readonly lanes: readonly Lanes[]; readonly sealer: Sealer | undefined },
): Promise<WitnessDocument> {
  const { sealer, signal, lanes } = options;
  const lines = lanes.map((sums) => `${JSON.stringify({ lanes: sums.map(String) })}\n`);
  const plain = Buffer.from(lines.join(''), 'utf8');
  const bytes = await encodePart(plain, { compression: 'zstd', sealer });
  const name = `${witness.id}.digests.zst${sealer === undefined ? '' : '.age'}`;
  const key = keys.witnessObject(witness.source, name);
  await repository.store.putIfAbsent(key, bytes, { signal });
  await failpoint('snapshot.digests-stored');
  const document = witnessSchema.parse({
    ...witness,
    encryptedTo: [...(sealer?.fingerprints ?? [])],
    digests: { name, sizeBytes: bytes.length, sha256: sha256Hex(bytes), plainBytes: plain.length },
  });
  const put = { key: keys.witness(witness.source, witness.id), bytes: encodeDocument(document) };
  if (!(await putDocument(repository.store, put, { signer: repository.signer, signal })))
    throw new Failure('repository.exists_differs', `another witness is stored as ${put.key}`, {
      facts: { object: put.key },
    });
  return document;
}

/** Ids of a source's witnesses, oldest first. */
export async function listWitnesses(
  repository: Repository,
  options: CallOptions & { readonly source: string },
): Promise<string[]> {
  const prefix = keys.witnesses(options.source);
  const ids: string[] = [];
  for await (const { key } of repository.store.list(prefix, { signal: options.signal }))
    if (key.endsWith('.json')) ids.push(key.slice(prefix.length, -'.json'.length));
  return ids;
}

/** Fails with `recovery.no_point` when there is no such witness, or `integrity.*`. */
export async function readWitness(
  repository: Repository,
  at: { readonly source: string; readonly id: string },
  options: CallOptions,
): Promise<WitnessDocument> {
  const key = keys.witness(at.source, at.id);
  const { store, trust } = repository;
  const found = await readDocument(store, key, { schema: witnessSchema, trust, signal: options.signal });
  if (found === undefined)
    throw new Failure('recovery.no_point', `no witness ${at.id} of source ${at.source}`, {
      facts: { source: at.source, witness: at.id },
    });
  const { id, source, repositoryId } = found.document;
  if (id !== at.id || source !== at.source || repositoryId !== repository.document.repositoryId)
    throw new Failure('integrity.format', `${key} belongs to another source or repository`, {
      facts: { object: key },
    });
  return found.document;
}

/** The digests of a witness, one for each of its tables. Fails with `key.missing` where they are encrypted. */
export async function readDigests(
  repository: Repository,
  witness: WitnessDocument,
  options: CallOptions & { readonly opener: Opener | undefined },
): Promise<Lanes[]> {
  const { name, sizeBytes, sha256, plainBytes } = witness.digests;
  const key = keys.witnessObject(witness.source, name);
  const bytes = await readSmallObject(repository.store, key, {
    signal: options.signal,
    maxBytes: MAX_DIGESTS_BYTES,
  });
  if (bytes.length !== sizeBytes || sha256Hex(bytes) !== sha256)
    throw new Failure('integrity.digest', `${key} is not what was stored`, { facts: { object: key } });
  const isEncrypted = witness.encryptedTo.length > 0;
  if (isEncrypted && options.opener === undefined)
    throw new Failure('key.missing', 'the digests of this witness are encrypted');
  if (plainBytes > MAX_DIGESTS_BYTES) throw broken(key);
  const plain = await decodePart(bytes, {
    compression: 'zstd',
    opener: isEncrypted ? options.opener : undefined,
    copyBytes: plainBytes,
  });
  const lines = plain.toString('utf8').split('\n').slice(0, -1);
  if (lines.length !== witness.tables.length) throw broken(key);
  return lines.map((line) => lanesOf(line, key));
}

function lanesOf(line: string, key: string): Lanes {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    throw broken(key);
  }
  const parsed = digestLineSchema.safeParse(json);
  if (!parsed.success) throw broken(key);
  const [a, b, c, d] = parsed.data.lanes;
  return [BigInt(a), BigInt(b), BigInt(c), BigInt(d)];
}

function broken(key: string): Failure {
  return new Failure('integrity.format', `${key} does not hold the digests of its witness`, {
    facts: { object: key },
  });
}
