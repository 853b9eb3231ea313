import { repositorySchema, sourceSchema, FORMAT_VERSION } from '../archive/manifest.ts';
import type { RepositoryDocument, SourceDocument } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import type { Store } from '../storage/store.ts';
import { encodeDocument, readDocument } from './documents.ts';
import { randomCharacters } from './ids.ts';
import { keys } from './keys.ts';

/** An opened repository: its store and what `repository.json` says. */
export interface Repository {
  readonly store: Store;
  readonly document: RepositoryDocument;
}

interface OpenOptions {
  readonly signal: AbortSignal;
}

/** What `repository.json` says; undefined where there is none. */
export async function findRepositoryDocument(
  store: Store,
  options: OpenOptions,
): Promise<RepositoryDocument | undefined> {
  const { signal } = options;
  return (await readDocument(store, keys.repository, { schema: repositorySchema, signal }))?.document;
}

/** Opens a repository. Fails with `repository.not_found` where there is none. */
export async function openRepository(store: Store, options: OpenOptions): Promise<Repository> {
  const document = await findRepositoryDocument(store, options);
  if (document === undefined) {
    throw new Failure('repository.not_found', `no repository at ${store.location}`, {
      facts: { location: store.location },
    });
  }
  return { store, document };
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
  const found = await findRepositoryDocument(store, options);
  if (found !== undefined) return { repository: { store, document: found }, created: false };
  await refuseForeignContent(store, options.signal);
  const document: RepositoryDocument = {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-repository',
    repositoryId: randomCharacters(26),
    createdAt: new Date().toISOString(),
    createdBy: options.program,
    recipientFingerprints: [...options.recipientFingerprints].sort(),
  };
  const put = await store.putIfAbsent(keys.repository, encodeDocument(document), {
    signal: options.signal,
    contentType: 'application/json',
  });
  const created = put.outcome !== 'differs';
  return { repository: created ? { store, document } : await openRepository(store, options), created };
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
  options: OpenOptions,
): Promise<SourceDocument> {
  const key = keys.source(first.source);
  const put = await repository.store.putIfAbsent(key, encodeDocument(first), {
    signal: options.signal,
    contentType: 'application/json',
  });
  if (put.outcome !== 'differs') return first;
  const found = await readDocument(repository.store, key, { schema: sourceSchema, signal: options.signal });
  return found?.document ?? first;
}
