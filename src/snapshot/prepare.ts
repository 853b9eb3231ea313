import { newId } from '../catalog/ids.ts';
import { readRelations, readTableSizes } from '../postgres/inventory.ts';
import type { ServerFacts } from '../postgres/inventory.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { findStream } from './find-stream.ts';
import { lockAndExport } from './keeper.ts';
import { watchForWaiters } from './lock-watch.ts';
import { planSnapshot } from './plan.ts';
import type { SnapshotPlan } from './plan.ts';
import type { Prepared } from './prepared.ts';
import type { SnapshotRequest } from './request.ts';
import { selectRelations } from './select.ts';
import { SourceSessions, applicationName } from './source-session.ts';

/** What whoever looks at the source under one snapshot must say. */
interface PrepareRequest extends Pick<
  SnapshotRequest,
  | 'source'
  | 'settings'
  | 'repository'
  | 'others'
  | 'selection'
  | 'jobs'
  | 'lockTimeoutMs'
  | 'patienceMs'
  | 'signal'
> {
  readonly job: 'snapshot' | 'witness';
  /** Once it is known, and before anything is locked: what can't be done with it is refused here. */
  readonly onServer: (facts: ServerFacts) => void;
  readonly onPlanned: (id: string, plan: SnapshotPlan) => void;
}

/**
 * Locks what is selected, exports a snapshot of the source, and gives way to whoever waits behind the locks (P7), until
 * `life.run` is disposed of. Fails as `selectRelations` and `lockAndExport` do.
 */
export async function prepare(
  request: PrepareRequest,
  life: { readonly run: AsyncDisposableStack; readonly failed: (reason: unknown) => void },
): Promise<Prepared> {
  const sessions = new SourceSessions(request.settings, { job: request.job, signal: request.signal });
  const facts = await sessions.probe();
  await failpoint('snapshot.probed');
  request.onServer(facts);
  const watcher = life.run.use(await sessions.open());
  const repositories = [request.repository, ...request.others];
  const stream = await findStream(repositories, watcher, { ...request, facts });
  const relations = await readRelations(watcher);
  const selected = selectRelations(relations, request.selection, facts.supabase ? 'supabase' : 'postgres');
  const watch = watchForWaiters(watcher, {
    patienceMs: request.patienceMs,
    applicationName: applicationName(sessions),
    giveWay: life.failed,
    failed: life.failed,
  });
  life.run.defer(() => watch.stop());
  const keeper = life.run.use(await sessions.open());
  const snapshot = await lockAndExport(keeper, {
    relations: [...selected.tables, ...selected.parents],
    lockTimeoutMs: request.lockTimeoutMs,
  });
  const sizes = await readTableSizes(
    keeper,
    selected.tables.map((table) => table.oid),
  );
  const plan = planSnapshot(selected, sizes, { jobs: request.jobs });
  const id = newId(new Date(snapshot.instant));
  request.onPlanned(id, plan);
  const unreadable = relations.filter((relation) => !relation.readable && relation.kind !== 'm');
  return {
    id,
    facts,
    snapshot,
    selected,
    unreadable,
    plan,
    stream,
    sessions,
    keeper,
    watcher,
    failed: life.failed,
  };
}
