import { availableParallelism } from 'node:os';
import type { Repository } from '../catalog/repository.ts';
import { readManifest } from '../catalog/snapshots.ts';
import type { LimitedTable } from '../catalog/tables.ts';
import { Failure } from '../model/failure.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { continueToPoint } from '../recovery/continue-to-point.ts';
import type { PointOutcome } from '../recovery/outcome.ts';
import { planRecovery } from '../recovery/plan-recovery.ts';
import type { RecoveryPlan } from '../recovery/plan-recovery.ts';
import { parseRecoveryTarget } from '../recovery/target.ts';
import { wantedTables } from '../restore/plan.ts';
import type { RestorePlan } from '../restore/plan.ts';
import type { RestoreEvent, RestoreReport, RestoreRequest, StoredSnapshot } from '../restore/request.ts';
import { previewRestore } from '../restore/preflight.ts';
import { restoreSnapshot } from '../restore/restore-snapshot.ts';
import { wantedBy } from '../restore/scope.ts';
import type { RestoreScope } from '../restore/scope.ts';
import { withAllRepositories } from './repositories.ts';
import { withRestoreLeases } from './restore-lease.ts';
import type { Settings } from './settings.ts';

export interface RestoreJobOptions {
  /** As the user wrote it, or a database that a job made. */
  readonly target: string | ConnectionSettings;
  readonly to: string;
  readonly exclusive?: boolean;
  readonly timezone?: string;
  readonly create: boolean;
  readonly globals: boolean;
  readonly clean: boolean;
  readonly table: readonly string[];
  readonly schema: readonly string[];
  readonly schemaOnly: boolean;
  readonly dataOnly: boolean;
  readonly owner: boolean;
  readonly privileges: boolean;
  readonly jobs?: number;
  readonly staging?: string;
}

interface JobRun extends RestoreJobOptions {
  readonly signal: AbortSignal;
  readonly onEvent?: (event: RestoreEvent) => void;
  readonly onWarning?: (line: string) => void;
}

export interface PointReport extends RestoreReport {
  /** How changes were applied; absent: the snapshot's own instant was the target. */
  readonly changes?: Omit<PointOutcome, 'sequences'> & {
    readonly stream: string;
    /** Restored tables of which some changes before the point are missing: nobody published them. */
    readonly limited: readonly LimitedTable[];
  };
}

/** Brings the target's point back: the newest snapshot before it, and the changes from there on. */
export async function restoreJob(settings: Settings, run: JobRun): Promise<PointReport> {
  const { signal, onWarning = () => undefined } = run;
  return withAllRepositories(settings, signal, (repositories) =>
    withRestoreLeases(repositories, { source: settings.sourceName, onWarning, signal }, async (needs) => {
      const { request, recovery } = await requestOf(settings, repositories, run);
      await needs(recovery);
      return restorePlanned(settings, { repositories, request, recovery }, run);
    }),
  );
}

async function restorePlanned(
  settings: Settings,
  of: {
    readonly repositories: readonly Repository[];
    readonly request: RestoreRequest;
    readonly recovery: RecoveryPlan;
  },
  run: JobRun,
): Promise<PointReport> {
  const { repositories, request, recovery } = of;
  const planned = recovery.replay;
  if (planned === undefined || run.schemaOnly) return restoreSnapshot(request);
  const wanted = wantedTables(request.manifest, request.scope);
  const continuation = await continueToPoint(recovery, planned, {
    source: settings.sourceName,
    repository: repositoryAt(planned.repository, repositories),
    target: request.target,
    opener: await settings.opener(),
    wanted,
    onProgress: (soFar) => request.onEvent({ kind: 'changes', ...soFar }),
    signal: run.signal,
  });
  const { outcome, ...report } = await restoreSnapshot({ ...request, continuation });
  if (outcome === undefined) return report;
  const { sequences: _, ...changes } = JSON.parse(outcome) as PointOutcome;
  const limited = planned.limited.filter(wanted);
  return { ...report, changes: { stream: planned.stream, limited, ...changes } };
}

/** What the restore would do, and what stands in its way. Changes nothing. */
export async function planRestoreJob(
  settings: Settings,
  run: JobRun,
): Promise<{ readonly plan: RestorePlan; readonly recovery: RecoveryPlan }> {
  return withAllRepositories(settings, run.signal, async (repositories) => {
    const { request, recovery } = await requestOf(settings, repositories, run);
    return { plan: await previewRestore(request), recovery };
  });
}

function repositoryAt(location: string, repositories: readonly Repository[]): Repository {
  const found = repositories.find(({ store }) => store.location === location);
  if (found === undefined) throw new Error(`${location} is none of the repositories`);
  return found;
}

async function requestOf(
  settings: Settings,
  repositories: readonly Repository[],
  run: JobRun,
): Promise<{ readonly request: RestoreRequest; readonly recovery: RecoveryPlan }> {
  if (run.schemaOnly && run.dataOnly) {
    throw new Failure('usage.invalid', '--schema-only and --data-only exclude each other');
  }
  const target = parseRecoveryTarget(run.to, { timeZone: run.timezone, exclusive: run.exclusive });
  const { signal } = run;
  const source = settings.sourceName;
  const isSearched = target.kind === 'xid' || target.kind === 'time';
  const opener = isSearched ? await settings.opener() : undefined;
  const scope = scopeOf(run);
  const wanted = wantedBy(scope);
  const recovery = await planRecovery(repositories, { source, target, wanted, opener, signal });
  const stored = async (id: string, location: string): Promise<StoredSnapshot> => {
    const repository = repositoryAt(location, repositories);
    const { document: manifest } = await readManifest(repository, { source, id }, { signal });
    const isEncrypted = manifest.encryptedTo.length > 0;
    return { repository, manifest, opener: isEncrypted ? await settings.opener() : undefined };
  };
  const replaced: NonNullable<RestoreRequest['replaced']>[number][] = [];
  // Definitions alone are the older snapshot's.
  for (const { snapshot, tables } of run.schemaOnly ? [] : (recovery.replay?.replaced ?? []))
    replaced.push({ snapshot: await stored(snapshot.manifest.id, snapshot.repository), tables });
  const request: RestoreRequest = {
    ...(await stored(recovery.snapshot.id, recovery.snapshot.repository)),
    replaced,
    target: typeof run.target === 'string' ? settings.connection(run.target) : run.target,
    source: settings.findSource(),
    scope,
    clean: run.clean,
    create: run.create,
    globals: run.globals,
    owners: run.owner,
    privileges: run.privileges,
    tools: await settings.tools(run.signal),
    jobs: run.jobs ?? Math.min(8, Math.max(2, availableParallelism())),
    staging: run.staging ?? settings.config.staging,
    onEvent: run.onEvent ?? (() => undefined),
    signal: run.signal,
  };
  return { request, recovery };
}

function scopeOf(run: JobRun): RestoreScope {
  return {
    tables: run.table,
    schemas: run.schema,
    part: run.schemaOnly ? 'schema-only' : run.dataOnly ? 'data-only' : 'all',
  };
}
