import { availableParallelism } from 'node:os';
import type { Repository } from '../catalog/repository.ts';
import { readManifest } from '../catalog/snapshots.ts';
import { Failure } from '../model/failure.ts';
import { planRecovery } from '../recovery/plan-recovery.ts';
import type { RecoveryPlan } from '../recovery/plan-recovery.ts';
import { parseRecoveryTarget } from '../recovery/target.ts';
import type { RestorePlan } from '../restore/plan.ts';
import type { RestoreEvent, RestoreReport, RestoreRequest } from '../restore/request.ts';
import { previewRestore } from '../restore/preflight.ts';
import { restoreSnapshot } from '../restore/restore-snapshot.ts';
import type { RestoreScope } from '../restore/scope.ts';
import { withRepository } from './list-job.ts';
import type { Settings } from './settings.ts';

export interface RestoreJobOptions {
  readonly target: string;
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
}

/** Fails with `recovery.refused` for a point that a snapshot alone is not: never another one in its place (P5). */
export async function restoreJob(settings: Settings, run: JobRun): Promise<RestoreReport> {
  return withRepository(settings, run.signal, async (repository) => {
    const { request, recovery } = await requestOf(settings, repository, run);
    if (recovery.replay !== undefined) {
      const { id } = recovery.snapshot;
      throw new Failure('recovery.refused', `${run.to} needs changes to be applied onto snapshot ${id}`, {
        facts: { snapshot: id, stream: recovery.replay.stream },
        remedy: `this version restores snapshots’ own instants only: snapshot:${id}`,
      });
    }
    return restoreSnapshot(request);
  });
}

/** What the restore would do, and what stands in its way. Changes nothing. */
export async function planRestoreJob(
  settings: Settings,
  run: JobRun,
): Promise<{ readonly plan: RestorePlan; readonly recovery: RecoveryPlan }> {
  return withRepository(settings, run.signal, async (repository) => {
    const { request, recovery } = await requestOf(settings, repository, run);
    return { plan: await previewRestore(request), recovery };
  });
}

async function requestOf(
  settings: Settings,
  repository: Repository,
  run: JobRun,
): Promise<{ readonly request: RestoreRequest; readonly recovery: RecoveryPlan }> {
  if (run.schemaOnly && run.dataOnly) {
    throw new Failure('usage.invalid', '--schema-only and --data-only exclude each other');
  }
  const target = parseRecoveryTarget(run.to, { timeZone: run.timezone, exclusive: run.exclusive });
  const { signal } = run;
  const source = settings.sourceName;
  const opener = target.kind === 'xid' ? await settings.opener() : undefined;
  const recovery = await planRecovery([repository], { source, target, opener, signal });
  const { document: manifest } = await readManifest(
    repository,
    { source, id: recovery.snapshot.id },
    { signal },
  );
  const request: RestoreRequest = {
    repository,
    manifest,
    target: settings.connection(run.target),
    source: settings.findSource(),
    scope: scopeOf(run),
    clean: run.clean,
    create: run.create,
    globals: run.globals,
    owners: run.owner,
    privileges: run.privileges,
    opener: manifest.encryptedTo.length === 0 ? undefined : await settings.opener(),
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
