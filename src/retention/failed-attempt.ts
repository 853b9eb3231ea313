import { listFolders } from '../catalog/folders.ts';
import { timeOfId } from '../catalog/ids.ts';
import { readLastJobs } from '../catalog/jobs.ts';
import { keys } from '../catalog/keys.ts';
import type { Repository } from '../catalog/repository.ts';
import type { SnapshotFacts } from './plan.ts';

/**
 * What job history tells of a schedule's newest snapshot that did not come to be: also of one that left no object
 * behind. A whole snapshot that was begun later, by whomever, is the better word. Undefined: nothing failed.
 */
export async function failedAttempt(
  repository: Repository,
  snapshots: readonly SnapshotFacts[],
  options: { readonly source: string; readonly signal: AbortSignal },
): Promise<string | undefined> {
  const { source, signal } = options;
  const newest = Math.max(
    ...snapshots
      .filter(({ manifest, damage }) => manifest.scope.kind === 'whole' && damage === undefined)
      .map(({ manifest }) => timeOfId(manifest.id)),
  );
  const folders = listFolders(repository.store, keys.schedules(source), { signal });
  for await (const schedule of folders) {
    const jobs = await readLastJobs(repository, { source, schedule }, { signal });
    const last = jobs.find(({ begun }) => begun.job === 'snapshot');
    if (last === undefined || last.ended?.outcome === 'done' || Date.parse(last.begun.startedAt) <= newest)
      continue;
    const { startedAt } = last.begun;
    return last.ended === undefined
      ? `schedule ${schedule} began one at ${startedAt} that has not ended`
      : `schedule ${schedule}, ${startedAt}: ${last.ended.code ?? last.ended.outcome}`;
  }
  return undefined;
}
