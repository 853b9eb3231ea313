import { FORMAT_VERSION } from '../archive/manifest.ts';
import type { LeaseDocument } from '../archive/retention-documents.ts';
import { newId } from '../catalog/ids.ts';
import { keys } from '../catalog/keys.ts';
import { Held, readPruneMark } from '../catalog/leases.ts';
import type { Repository } from '../catalog/repository.ts';
import { Failure, asFailure, throwIfAborted } from '../model/failure.ts';
import { formatLsn } from '../model/lsn.ts';
import type { RecoveryPlan } from '../recovery/plan-recovery.ts';
import { isBeingRemoved } from '../retention/marks.ts';

/** Renewed each half minute. */
const TTL_SECONDS = 300;

interface LeaseOptions {
  readonly source: string;
  /** Said when nothing can be written: then only the grace of a prune guards the restore. */
  readonly onWarning: (line: string) => void;
  readonly signal: AbortSignal;
}

/** The same in each of several repositories. */
export function withRestoreLeases<T>(
  repositories: readonly Repository[],
  options: LeaseOptions,
  act: (needs: (plan: RecoveryPlan) => Promise<void>) => Promise<T>,
): Promise<T> {
  const [first, ...others] = repositories;
  if (first === undefined) return act(() => Promise.resolve());
  return withRestoreLease(first, options, (needs) =>
    withRestoreLeases(others, options, (needsOfOthers) =>
      act(async (plan) => {
        await needs(plan);
        await needsOfOthers(plan);
      }),
    ),
  );
}

/**
 * Guards what a restore reads against a prune: first all of the source, and once `needs` is told the plan, what it
 * reads. `needs` fails with `recovery.no_point` when a prune is removing that just now.
 */
async function withRestoreLease<T>(
  { store }: Repository,
  options: LeaseOptions,
  act: (needs: (plan: RecoveryPlan) => Promise<void>) => Promise<T>,
): Promise<T> {
  const { source, signal } = options;
  const id = newId(new Date());
  const lease: LeaseDocument = {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-lease',
    id,
    source,
    ttlSeconds: TTL_SECONDS,
    renewals: 0,
  };
  const held = await Held.take(store, keys.restoreLease(source, id), lease, { signal }).catch(
    (error: unknown) => {
      throwIfAborted(signal);
      const { message } = asFailure(error);
      options.onWarning(
        `no lease could be written, so a prune does not see this restore: it must end within the prune’s grace (${message})`,
      );
    },
  );
  try {
    return await act(async (plan) => {
      const needs = needsOf(plan);
      const later = plan.replay?.replaced.map(({ snapshot }) => ({
        ...needs,
        snapshot: snapshot.manifest.id,
      }));
      const all = [needs, ...(later ?? [])];
      // In this order: a prune marks before it looks for leases. One names a snapshot: with more, it goes on guarding all.
      if (all.length === 1) await held?.change({ needs }, { signal });
      const mark = await readPruneMark(store, source, { signal });
      if (mark === undefined || !all.some((one) => isBeingRemoved(mark.document, one))) return;
      throw new Failure('recovery.no_point', 'a prune is removing what this point needs', {
        facts: { source, snapshot: needs.snapshot },
      });
    });
  } finally {
    await held?.end();
  }
}

function needsOf({ snapshot, replay }: RecoveryPlan): NonNullable<LeaseDocument['needs']> {
  if (replay === undefined) return { snapshot: snapshot.id };
  return { snapshot: snapshot.id, changes: { stream: replay.stream, from: formatLsn(replay.scanFrom) } };
}
