import { repositorySchema, sourceSchema, FORMAT_VERSION } from '../archive/manifest.ts';
import type { RepositoryDocument, SourceDocument } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import type { Store } from '../storage/store.ts';
import { encodeDocument, putDocument, readDocument } from './documents.ts';
import { randomCharacters } from './ids.ts';
import { keys } from './keys.ts';
import type { Signing } from './signatures.ts';

/** An opened repository: its store, what `repository.json` says, and whose signatures count in it. */
export interface Repository extends Signing {
  readonly store: Store;
  readonly document: RepositoryDocument;
}

interface CallOptions {
  readonly signal: AbortSignal;
}

type OpenOptions = CallOptions & Signing;

/** Opens a repository. Fails with `repository.not_found` where there is none, with `trust` also as `readDocument` does. */
export async function openRepository(store: Store, options: OpenOptions): Promise<Repository> {
  const found = await findRepository(store, options);
  if (found === undefined) {
    throw new Failure('repository.not_found', `no repository at ${store.location}`, {
      facts: { location: store.location },
    });
  }
  return found;
}

/** Undefined where there is none. */
export async function findRepository(store: Store, options: OpenOptions): Promise<Repository | undefined> {
  const { signer, trust, signal } = options;
  const found = await readDocument(store, keys.repository, { schema: repositorySchema, trust, signal });
  return found && { store, document: found.document, signer, trust };
}

interface InitOptions extends OpenOptions {
  /** SHA-256 of each recipient; empty for a repository without encryption. */
  readonly recipientFingerprints: readonly string[];
  readonly program: string;
}

/**
 * Opens the repository, or makes one where there is none. Two that do so at once end with the same one: the
 * document is put once, and the loser reads the winner's.
 */
export async function ensureRepository(
  store: Store,
  options: InitOptions,
): Promise<{ repository: Repository; created: boolean }> {
  const found = await findRepository(store, options);
  if (found !== undefined) return { repository: found, created: false };
  await refuseForeignContent(store, options.signal);
  const document: RepositoryDocument = {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-repository',
    repositoryId: randomCharacters(26),
    createdAt: new Date().toISOString(),
    createdBy: options.program,
    recipientFingerprints: [...options.recipientFingerprints].sort(),
  };
  const { signer, trust } = options;
  const created = await putDocument(
    store,
    { key: keys.repository, bytes: encodeDocument(document) },
    options,
  );
  const repository = created ? { store, document, signer, trust } : await openRepository(store, options);
  return { repository, created };
}

/** A lost repository.json must not be replaced beside old snapshots: ids and recipients would silently differ. */
async function refuseForeignContent(store: Store, signal: AbortSignal): Promise<void> {
  for await (const object of store.list('sources/', { signal })) {
    throw new Failure('integrity.format', `${store.location} holds ${object.key} but no ${keys.repository}`, {
      facts: { location: store.location, object: object.key },
      remedy: 'put repository.json back, or choose an empty folder or prefix',
    });
  }
}

/**
 * Recipients come only from local config: a repository that says otherwise may have been changed to make us
 * encrypt to a stranger. Fails with `repository.recipients`.
 */
export function checkRecipients(repository: Repository, fingerprints: readonly string[]): void {
  const expected = [...repository.document.recipientFingerprints].sort().join();
  if (expected === [...fingerprints].sort().join()) return;
  const was = repository.document.recipientFingerprints.length;
  const made = was === 0 ? 'without encryption' : `for ${was} recipient(s)`;
  const named = fingerprints.length === 0 ? 'none' : `${fingerprints.length}, not the same`;
  throw new Failure(
    'repository.recipients',
    `the repository was made ${made}, the configuration names ${named}`,
    {
      facts: { location: repository.store.location },
    },
  );
}

/** Writes `source.json` when it is the first time, else reads what was first seen. */
export async function ensureSource(
  repository: Repository,
  first: SourceDocument,
  options: CallOptions,
): Promise<SourceDocument> {
  const { store, signer } = repository;
  const { signal } = options;
  const found = await readSource(repository, first.source, options);
  if (found !== undefined) return found;
  const document = { key: keys.source(first.source), bytes: encodeDocument(first) };
  const created = await putDocument(store, document, { signer, signal });
  return (created ? undefined : await readSource(repository, first.source, options)) ?? first;
}

/** Undefined when no snapshot of it was ever begun. */
export async function readSource(
  { store, trust }: Repository,
  source: string,
  { signal }: CallOptions,
): Promise<SourceDocument | undefined> {
  const found = await readDocument(store, keys.source(source), { schema: sourceSchema, trust, signal });
  return found?.document;
}
