import { manifestSchema } from '../archive/manifest.ts';
import type { Manifest } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import { encodeDocument, readDocument } from './documents.ts';
import type { ReadDocument } from './documents.ts';
import { keys, parseManifestKey } from './keys.ts';
import type { Repository } from './repository.ts';

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
  const prefix = options.source === undefined ? 'sources/' : keys.snapshots(options.source);
  const folders = new Map<string, SnapshotFolder>();
  for await (const object of repository.store.list(prefix, { signal: options.signal })) {
    const [, source, kind, id] = object.key.split('/');
    if (source === undefined || kind !== 'snapshots' || id === undefined) continue;
    const before = folders.get(`${source}/${id}`);
    folders.set(`${source}/${id}`, {
      source,
      id,
      complete: before?.complete === true || parseManifestKey(object.key) !== undefined,
      objects: (before?.objects ?? 0) + 1,
      storedBytes: (before?.storedBytes ?? 0) + object.sizeBytes,
      modified: before !== undefined && before.modified > object.modified ? before.modified : object.modified,
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
  const found = await readDocument(repository.store, key, { schema: manifestSchema, signal: options.signal });
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

/** The newest complete snapshot of a source, whole ones only unless said otherwise. */
export async function newestSnapshot(
  repository: Repository,
  options: CallOptions & { readonly source: string; readonly whole: boolean },
): Promise<ReadDocument<Manifest> | undefined> {
  const folders = await listSnapshotFolders(repository, options);
  for (const folder of folders.filter((candidate) => candidate.complete).reverse()) {
    const found = await readManifest(repository, folder, options);
    if (!options.whole || found.document.scope.kind === 'whole') return found;
  }
  return undefined;
}

/** The commit point of a snapshot (P2). Fails with `repository.exists_differs` rather than overwrite. */
export async function publishManifest(
  repository: Repository,
  manifest: Manifest,
  options: CallOptions,
): Promise<void> {
  const checked = manifestSchema.parse(manifest);
  const put = await repository.store.putIfAbsent(
    keys.manifest(manifest.source, manifest.id),
    encodeDocument(checked),
    {
      signal: options.signal,
      contentType: 'application/json',
    },
  );
  if (put.outcome === 'differs') {
    throw new Failure('repository.exists_differs', `another manifest stands at snapshot ${manifest.id}`, {
      facts: { snapshot: manifest.id, location: repository.store.location },
    });
  }
}
