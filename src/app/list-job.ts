import type { Manifest } from '../archive/manifest.ts';
import type { GapDocument } from '../archive/stream-documents.ts';
import { listFolders } from '../catalog/folders.ts';
import { openRepository } from '../catalog/repository.ts';
import type { Repository } from '../catalog/repository.ts';
import { isNotAuthentic } from '../catalog/signatures.ts';
import { listSnapshotFolders, readManifest } from '../catalog/snapshots.ts';
import type { SnapshotFolder } from '../catalog/snapshots.ts';
import { asFailure } from '../model/failure.ts';
import type { Failure } from '../model/failure.ts';
import { chooseSnapshot } from '../recovery/choose-snapshot.ts';
import { parseRecoveryTarget } from '../recovery/target.ts';
import { listHistory } from './list-history.ts';
import type {
  ListedHistory,
  ListedStream,
  ListedWindow,
  LocatedManifest,
  OwnWindow,
} from './list-history.ts';
import { withRepositories } from './repositories.ts';
import type { Settings } from './settings.ts';

export interface ListedSnapshot {
  readonly id: string;
  readonly repository: string;
  readonly source: string;
  readonly instant: string;
  readonly scope: 'whole' | 'partial';
  readonly engine: string;
  readonly tables: number;
  readonly rows: string;
  readonly copyBytes: string;
  readonly storedBytes: string;
  readonly encrypted: boolean;
  /** What can be done with it: changes be applied, or only its own instant be restored. */
  readonly use: 'usable' | 'waiting' | 'own-instant';
  /** Why not, for `own-instant`. */
  readonly useReason: string | undefined;
}

/** A manifest that no trusted key vouches for. */
interface RefusedSnapshot {
  readonly id: string;
  readonly repository: string;
  readonly source: string;
  readonly code: string;
  readonly message: string;
}

export interface Listing {
  /** Of the first one: where changes go. */
  readonly location: string;
  readonly repositories: readonly string[];
  /** Configured, and there is none: not yet, or its disk is not there. */
  readonly absent: readonly string[];
  readonly snapshots: readonly ListedSnapshot[];
  /** Only with `trust`: one that is foreign does not hide those that are not. */
  readonly refused: readonly RefusedSnapshot[];
  /** Data without a manifest: never a snapshot. */
  readonly unfinished: readonly (SnapshotFolder & { readonly repository: string })[];
  readonly streams: readonly ListedStream[];
  /** Of all repositories together. */
  readonly windows: readonly ListedWindow[];
  /** Of each alone, where there are several. */
  readonly ownWindows: readonly OwnWindow[];
  readonly gaps: readonly GapDocument[];
}

export async function listJob(
  settings: Settings,
  options: { readonly allSources: boolean; readonly signal: AbortSignal },
): Promise<Listing> {
  return withRepositories(settings, options.signal, async (repositories, absent) => {
    const { signal } = options;
    const found = await Promise.all(
      repositories.map((repository) => readSnapshots(repository, settings, options)),
    );
    const manifests = found.flatMap((one) => one.manifests);
    const histories: ListedHistory[] = [];
    for (const source of options.allSources ? await sourcesOf(repositories, signal) : [settings.sourceName])
      histories.push(
        await listHistory(repositories, {
          source,
          signal,
          manifests: manifests.filter(({ manifest }) => manifest.source === source),
        }),
      );
    const uses = histories.flatMap((history) => history.uses);
    const locations = repositories.map(({ store }) => store.location);
    return {
      location: locations[0] ?? '',
      repositories: locations,
      absent,
      snapshots: manifests.map((one) => listed(one, uses)).sort((a, b) => (a.id < b.id ? -1 : 1)),
      streams: histories.flatMap((history) => history.streams),
      windows: histories.flatMap((history) => history.windows),
      ownWindows: histories.flatMap((history) => history.ownWindows),
      gaps: histories.flatMap((history) => history.gaps),
      refused: found.flatMap((one) => one.refused),
      unfinished: found.flatMap((one) => one.unfinished),
    };
  });
}

async function readSnapshots(
  repository: Repository,
  settings: Settings,
  options: Parameters<typeof listJob>[1],
): Promise<Pick<Listing, 'refused' | 'unfinished'> & { readonly manifests: LocatedManifest[] }> {
  const { signal } = options;
  const { location } = repository.store;
  const folders = await listSnapshotFolders(repository, {
    signal,
    ...(!options.allSources && { source: settings.sourceName }),
  });
  const manifests: LocatedManifest[] = [];
  const refused: RefusedSnapshot[] = [];
  for (const folder of folders.filter((candidate) => candidate.complete)) {
    const { manifest, refusal } = await authenticManifest(repository, folder, signal);
    if (manifest !== undefined) manifests.push({ manifest, repository });
    else {
      const { code, message } = refusal;
      refused.push({ id: folder.id, repository: location, source: folder.source, code, message });
    }
  }
  const unfinished = folders.flatMap((folder) =>
    folder.complete ? [] : [{ ...folder, repository: location }],
  );
  return { manifests, refused, unfinished };
}

async function sourcesOf(repositories: readonly Repository[], signal: AbortSignal): Promise<string[]> {
  const found = new Set<string>();
  for (const { store } of repositories)
    for await (const source of listFolders(store, 'sources/', { signal })) found.add(source);
  return [...found].sort();
}

type Authentic =
  | { readonly manifest: Manifest; readonly refusal?: undefined }
  | { readonly manifest: undefined; readonly refusal: Failure };

/** A manifest, or why it is not authentic. */
export async function authenticManifest(
  repository: Repository,
  at: { readonly source: string; readonly id: string },
  signal: AbortSignal,
): Promise<Authentic> {
  try {
    return { manifest: (await readManifest(repository, at, { signal })).document };
  } catch (error) {
    const refusal = asFailure(error);
    if (!isNotAuthentic(refusal)) throw refusal;
    return { manifest: undefined, refusal };
  }
}

/** One snapshot's manifest, by id or target. */
export async function showJob(
  settings: Settings,
  options: { readonly target: string; readonly signal: AbortSignal },
): Promise<Manifest> {
  const target = parseRecoveryTarget(options.target);
  return withRepository(settings, options.signal, (repository) =>
    chooseSnapshot(repository, { source: settings.sourceName, target, signal: options.signal }),
  );
}

/** Opens the configured repository for one job that only reads. */
export async function withRepository<T>(
  settings: Settings,
  signal: AbortSignal,
  act: (repository: Repository) => Promise<T>,
): Promise<T> {
  const trust = settings.trust();
  const store = await settings.store();
  try {
    return await act(await openRepository(store, { signer: undefined, trust, signal }));
  } finally {
    await store.close();
  }
}

function listed({ manifest, repository }: LocatedManifest, uses: ListedHistory['uses']): ListedSnapshot {
  const use = uses.find(({ id, source }) => id === manifest.id && source === manifest.source)?.use;
  return {
    id: manifest.id,
    repository: repository.store.location,
    source: manifest.source,
    instant: manifest.instant,
    scope: manifest.scope.kind,
    engine: manifest.engine,
    tables: manifest.totals.tables,
    rows: manifest.totals.rows,
    copyBytes: manifest.totals.copyBytes,
    storedBytes: manifest.totals.storedBytes,
    encrypted: manifest.encryptedTo.length > 0,
    use: use?.kind ?? 'own-instant',
    useReason: use?.kind === 'own-instant' ? use.reason : undefined,
  };
}
