import { manifestSchema } from '../archive/manifest.ts';
import type { Manifest } from '../archive/manifest.ts';
import { Failure, asFailure } from '../model/failure.ts';
import { encodeDocument, readDocument } from './documents.ts';
import type { ReadDocument } from './documents.ts';
import { listFolders } from './folders.ts';
import { keys, parseManifestKey } from './keys.ts';
import type { Repository } from './repository.ts';
import { isNotAuthentic, putSignature } from './signatures.ts';

interface CallOptions {
  readonly signal: AbortSignal;
}

/** A folder of a snapshot that may or may not have become one. */
export interface SnapshotFolder {
  readonly source: string;
  readonly id: string;
  /** False: data without a manifest, left by a run that did not end. */
  readonly complete: boolean;
  readonly objects: number;
  readonly storedBytes: number;
  readonly modified: Date;
}

/** All snapshot folders, oldest id first; of one source, or of all. */
export async function listSnapshotFolders(
  repository: Repository,
  options: CallOptions & { readonly source?: string },
): Promise<SnapshotFolder[]> {
  const { signal } = options;
  const sources =
    options.source === undefined
      ? await Array.fromAsync(listFolders(repository.store, 'sources/', { signal }))
      : [options.source];
  const folders = new Map<string, SnapshotFolder>();
  for (const source of sources)
    for await (const object of repository.store.list(keys.snapshots(source), { signal })) {
      const id = object.key.split('/')[3];
      if (id === undefined) continue;
      const before = folders.get(`${source}/${id}`);
      folders.set(`${source}/${id}`, {
        source,
        id,
        complete: before?.complete === true || parseManifestKey(object.key) !== undefined,
        objects: (before?.objects ?? 0) + 1,
        storedBytes: (before?.storedBytes ?? 0) + object.sizeBytes,
        modified:
          before !== undefined && before.modified > object.modified ? before.modified : object.modified,
      });
    }
  return [...folders.values()].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

/** One manifest. Fails with `recovery.no_point` when there is no such snapshot. */
export async function readManifest(
  repository: Repository,
  at: { readonly source: string; readonly id: string },
  options: CallOptions,
): Promise<ReadDocument<Manifest>> {
  const key = keys.manifest(at.source, at.id);
  const { store, trust } = repository;
  const found = await readDocument(store, key, { schema: manifestSchema, trust, signal: options.signal });
  if (found === undefined) {
    throw new Failure('recovery.no_point', `no snapshot ${at.id} of source ${at.source}`, {
      facts: { source: at.source, snapshot: at.id, location: repository.store.location },
    });
  }
  const { document } = found;
  if (
    document.id !== at.id ||
    document.source !== at.source ||
    document.repositoryId !== repository.document.repositoryId
  ) {
    throw new Failure('integrity.format', `${key} belongs to another snapshot, source or repository`, {
      facts: { object: key, snapshot: document.id, source: document.source },
    });
  }
  return found;
}

/** The newest complete whole snapshot of a source. One that is not authentic is refused, not passed over (P5). */
export async function newestSnapshot(
  repository: Repository,
  options: CallOptions & { readonly source: string },
): Promise<ReadDocument<Manifest> | undefined> {
  for (const folder of await newestFirst(repository, options)) {
    const found = await readManifest(repository, folder, options);
    if (found.document.scope.kind === 'whole') return found;
  }
  return undefined;
}

/** What a new snapshot names as the one before. What is not authentic is no link: nobody can stop backups with it. */
export async function previousSnapshot(
  repository: Repository,
  options: CallOptions & { readonly source: string },
): Promise<Manifest['previous']> {
  for (const folder of await newestFirst(repository, options)) {
    try {
      const { document, sha256 } = await readManifest(repository, folder, options);
      return { id: document.id, manifestSha256: sha256 };
    } catch (error) {
      if (!isNotAuthentic(asFailure(error))) throw error;
    }
  }
  return undefined;
}

async function newestFirst(
  repository: Repository,
  options: CallOptions & { readonly source: string },
): Promise<SnapshotFolder[]> {
  const folders = await listSnapshotFolders(repository, options);
  return folders.filter((folder) => folder.complete).reverse();
}

/** A manifest as it will be stored. */
export interface FinalManifest {
  readonly manifest: Manifest;
  readonly bytes: Buffer;
}

/**
 * Settles a manifest's bytes and stores their signature, if the repository is signed. The snapshot does not exist
 * yet, and never will if its writer dies here: a signature alone is one more object of an unfinished folder.
 */
export async function signManifest(
  repository: Repository,
  manifest: Manifest,
  options: CallOptions,
): Promise<FinalManifest> {
  const bytes = encodeDocument(manifestSchema.parse(manifest));
  const signature = repository.signer?.sign(bytes);
  const key = keys.manifest(manifest.source, manifest.id);
  if (signature !== undefined && !(await putSignature(repository.store, key, signature, options)))
    throw taken(repository, manifest, 'signature');
  return { manifest, bytes };
}

/** The commit point of a snapshot (P2). Fails with `repository.exists_differs` rather than overwrite. */
export async function publishManifest(
  repository: Repository,
  final: FinalManifest,
  options: CallOptions,
): Promise<void> {
  const { manifest, bytes } = final;
  const put = await repository.store.putIfAbsent(keys.manifest(manifest.source, manifest.id), bytes, {
    signal: options.signal,
    contentType: 'application/json',
  });
  if (put.outcome === 'differs') throw taken(repository, manifest, 'manifest');
}

function taken(repository: Repository, { id }: Manifest, what: string): Failure {
  return new Failure('repository.exists_differs', `another ${what} stands at snapshot ${id}`, {
    facts: { snapshot: id, location: repository.store.location },
  });
}
