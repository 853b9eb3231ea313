import type { Manifest } from '../archive/manifest.ts';
import type { Repository } from '../catalog/repository.ts';
import { listSnapshotFolders, newestSnapshot, readManifest } from '../catalog/snapshots.ts';
import { Failure } from '../model/failure.ts';
import type { RecoveryTarget } from './target.ts';

/**
 * The snapshot that a target means. Without a change stream only the instants of snapshots themselves can be
 * restored: a time between two is refused, naming the nearest ones (P5: never fall back to another point).
 */
export async function chooseSnapshot(
  repository: Repository,
  options: { readonly source: string; readonly target: RecoveryTarget; readonly signal: AbortSignal },
): Promise<Manifest> {
  const { source, target, signal } = options;
  switch (target.kind) {
    case 'snapshot':
      return (await readManifest(repository, { source, id: target.id }, { signal })).document;
    case 'latest': {
      const found = await newestSnapshot(repository, { source, signal });
      if (found !== undefined) return found.document;
      throw new Failure(
        'recovery.no_point',
        `no whole snapshot of source ${source} in ${repository.store.location}`,
        {
          facts: { source, location: repository.store.location },
        },
      );
    }
    case 'time':
      return atTime(repository, { source, time: target.time, signal });
  }
}

async function atTime(
  repository: Repository,
  options: { readonly source: string; readonly time: Date; readonly signal: AbortSignal },
): Promise<Manifest> {
  const folders = (await listSnapshotFolders(repository, options)).filter((folder) => folder.complete);
  const manifests: Manifest[] = [];
  for (const folder of folders) {
    const { document } = await readManifest(repository, folder, options);
    if (document.scope.kind === 'whole') manifests.push(document);
  }
  const exact = manifests.find((manifest) => Date.parse(manifest.instant) === options.time.getTime());
  if (exact !== undefined) return exact;
  const before = manifests.filter((manifest) => Date.parse(manifest.instant) < options.time.getTime()).at(-1);
  const after = manifests.find((manifest) => Date.parse(manifest.instant) > options.time.getTime());
  const nearest = [before, after].flatMap((manifest) => (manifest === undefined ? [] : [manifest]));
  throw new Failure('recovery.no_point', `no change stream covers ${options.time.toISOString()}`, {
    facts: { time: options.time.toISOString(), nearest: nearest.map((manifest) => manifest.id) },
    remedy:
      nearest.length === 0
        ? 'there is no whole snapshot yet'
        : `nearest points: ${nearest.map((manifest) => `snapshot:${manifest.id} (${manifest.instant})`).join(', ')}`,
  });
}
