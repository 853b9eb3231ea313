import type { Manifest } from '../archive/manifest.ts';
import type { Repository } from '../catalog/repository.ts';
import { listSnapshotFolders, newestSnapshot, readManifest } from '../catalog/snapshots.ts';
import { formatCommitTime, parseCommitTime } from '../model/commit-time.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import { formatRecoveryTarget } from './target.ts';
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
    case 'lsn':
    case 'xid':
    case 'mark':
      throw new Failure('recovery.no_point', `${formatRecoveryTarget(target)} is no snapshot’s own instant`, {
        facts: { target: formatRecoveryTarget(target) },
      });
  }
}

async function atTime(
  repository: Repository,
  options: { readonly source: string; readonly time: CommitTime; readonly signal: AbortSignal },
): Promise<Manifest> {
  const folders = (await listSnapshotFolders(repository, options)).filter((folder) => folder.complete);
  const manifests: Manifest[] = [];
  for (const folder of folders) {
    const { document } = await readManifest(repository, folder, options);
    if (document.scope.kind === 'whole') manifests.push(document);
  }
  const { time } = options;
  const instantOf = (manifest: Manifest): CommitTime => parseCommitTime(manifest.instant) ?? 0n;
  const exact = manifests.find((manifest) => instantOf(manifest) === time);
  if (exact !== undefined) return exact;
  const before = manifests.filter((manifest) => instantOf(manifest) < time).at(-1);
  const after = manifests.find((manifest) => instantOf(manifest) > time);
  const nearest = [before, after].flatMap((manifest) => (manifest === undefined ? [] : [manifest]));
  throw new Failure('recovery.no_point', `no change stream covers ${formatCommitTime(time)}`, {
    facts: { time: formatCommitTime(time), nearest: nearest.map((manifest) => manifest.id) },
    remedy:
      nearest.length === 0
        ? 'there is no whole snapshot yet'
        : `nearest points: ${nearest.map((manifest) => `snapshot:${manifest.id} (${manifest.instant})`).join(', ')}`,
  });
}
