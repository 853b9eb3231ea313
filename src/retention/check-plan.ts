import { formatWindow, recoveryWindows } from '../catalog/recovery-windows.ts';
import type { RecoveryWindow } from '../catalog/recovery-windows.ts';
import type { Repository } from '../catalog/repository.ts';
import { openHistory } from '../catalog/source-history.ts';
import { formatCommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import type { Store } from '../storage/store.ts';
import type { RetentionPlan } from './plan.ts';
import type { ReadFacts } from './read-facts.ts';

/**
 * Proves a plan by other means than it was made: what `list` and `restore` find is asked of a repository in which
 * what goes is hidden. Every kept snapshot must be there, and every position and time that must stay. Fails with
 * `prune.unsafe`: then the plan is wrong, or the repository changed under it; nothing has been touched.
 */
export async function checkPlan(
  repository: Repository,
  plan: RetentionPlan,
  from: {
    readonly read: ReadFacts;
    readonly isDoomed: (key: string) => boolean;
    readonly source: string;
    readonly signal: AbortSignal;
  },
): Promise<RecoveryWindow[]> {
  const { read } = from;
  const hidden = { ...repository, store: hiding(repository.store, from.isDoomed) };
  const after = await openHistory([hidden], from);
  const there = new Set(after.snapshots.map(({ id }) => id));
  const kept = plan.snapshots.filter(({ keep }) => keep).map(({ id }) => id);
  const lost = kept.find((id) => !there.has(id));
  if (lost !== undefined) throw unsafe(`snapshot ${lost} would not be there`);
  const damaged = new Set(
    read.facts.snapshots.filter(({ damage }) => damage !== undefined).map(({ manifest }) => manifest.id),
  );
  const sound = read.manifests.filter(({ id }) => !damaged.has(id));
  const { windows: before } = await recoveryWindows(read.history, sound);
  const { windows } = await recoveryWindows(
    after,
    sound.filter(({ id }) => there.has(id)),
  );
  for (const { id, required } of plan.streams)
    for (const needed of required) {
      const isThere = windows.some(
        ({ stream, from, to }) => stream === id && from <= needed.from && needed.to <= to,
      );
      if (!isThere)
        throw unsafe(
          `a window of stream ${id} would shrink: ${formatWindow({ ...needed, stream: id, times: undefined })}`,
        );
    }
  for (const window of before) checkTimes(window, windows, read.cutoff);
  return windows;
}

/** A time needs more than its position: a commit before it (recovery/locate-target.ts). */
function checkTimes(
  { stream, times }: RecoveryWindow,
  windows: readonly RecoveryWindow[],
  cutoff: ReadFacts['cutoff'],
): void {
  if (cutoff === undefined || times === undefined || times.to < cutoff) return;
  const first = times.from > cutoff ? times.from : cutoff;
  const isThere = windows.some(
    (one) =>
      one.stream === stream && one.times !== undefined && one.times.from <= first && times.to <= one.times.to,
  );
  if (!isThere)
    throw unsafe(
      `times of stream ${stream} would be lost: ${formatCommitTime(first)} to ${formatCommitTime(times.to)}`,
    );
}

/** A store without some of its objects, for whoever reads it. */
function hiding(store: Store, isHidden: (key: string) => boolean): Store {
  const missing = (key: string): Failure =>
    new Failure('repository.object_missing', `${key} would not be there`, { facts: { object: key } });
  const refuse = (): Promise<never> => Promise.reject(new TypeError('a view of a plan is only read'));
  return {
    location: store.location,
    capabilities: store.capabilities,
    putIfAbsent: refuse,
    delete: refuse,
    replace: refuse,
    get: (key, options) => (isHidden(key) ? Promise.reject(missing(key)) : store.get(key, options)),
    stat: (key, options) => (isHidden(key) ? Promise.resolve(undefined) : store.stat(key, options)),
    list: async function* (prefix, options) {
      for await (const object of store.list(prefix, options)) if (!isHidden(object.key)) yield object;
    },
    openPuts: (prefix, options) => store.openPuts(prefix, options),
    abandon: refuse,
    close: () => Promise.resolve(),
  };
}

function unsafe(message: string): Failure {
  return new Failure('prune.unsafe', message);
}
