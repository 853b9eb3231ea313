import type { Manifest } from '../archive/manifest.ts';
import { openRepository } from '../catalog/repository.ts';
import type { Repository } from '../catalog/repository.ts';
import { listSnapshotFolders, readManifest } from '../catalog/snapshots.ts';
import type { SnapshotFolder } from '../catalog/snapshots.ts';
import { chooseSnapshot } from '../recovery/choose-snapshot.ts';
import { parseRecoveryTarget } from '../recovery/target.ts';
import type { Settings } from './settings.ts';

export interface ListedSnapshot {
  readonly id: string;
  readonly source: string;
  readonly instant: string;
  readonly scope: 'whole' | 'partial';
  readonly engine: string;
  readonly tables: number;
  readonly rows: string;
  readonly copyBytes: string;
  readonly storedBytes: string;
  readonly encrypted: boolean;
}

export interface Listing {
  readonly location: string;
  readonly snapshots: readonly ListedSnapshot[];
  /** Data without a manifest: never a snapshot. */
  readonly unfinished: readonly SnapshotFolder[];
}

export async function listJob(
  settings: Settings,
  options: { readonly allSources: boolean; readonly signal: AbortSignal },
): Promise<Listing> {
  return withRepository(settings, options.signal, async (repository) => {
    const { signal } = options;
    const folders = await listSnapshotFolders(repository, {
      signal,
      ...(!options.allSources && { source: settings.sourceName }),
    });
    const snapshots: ListedSnapshot[] = [];
    for (const folder of folders.filter((candidate) => candidate.complete)) {
      const { document } = await readManifest(repository, folder, { signal });
      snapshots.push(listed(document));
    }
    return {
      location: repository.store.location,
      snapshots,
      unfinished: folders.filter((folder) => !folder.complete),
    };
  });
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

/** Opens the configured repository for one job. */
export async function withRepository<T>(
  settings: Settings,
  signal: AbortSignal,
  act: (repository: Repository) => Promise<T>,
): Promise<T> {
  const store = await settings.store();
  try {
    return await act(await openRepository(store, { signal }));
  } finally {
    await store.close();
  }
}

function listed(manifest: Manifest): ListedSnapshot {
  return {
    id: manifest.id,
    source: manifest.source,
    instant: manifest.instant,
    scope: manifest.scope.kind,
    engine: manifest.engine,
    tables: manifest.totals.tables,
    rows: manifest.totals.rows,
    copyBytes: manifest.totals.copyBytes,
    storedBytes: manifest.totals.storedBytes,
    encrypted: manifest.encryptedTo.length > 0,
  };
}
