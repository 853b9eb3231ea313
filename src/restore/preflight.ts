import { randomBytes } from 'node:crypto';
import type { StoredRange } from '../catalog/member-index.ts';
import { Failure, asFailure } from '../model/failure.ts';
import { connect } from '../postgres/connection.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import { isPlatformSchema } from '../postgres/supabase.ts';
import { chooseTools } from '../postgres/tools.ts';
import { refuseTooLittleSpace, withSpace } from './check-space.ts';
import { estimateTime } from './estimate.ts';
import { dropsInProject, planIntoSupabase, readProject } from './into-supabase.ts';
import type { ProjectFacts } from './into-supabase.ts';
import { heldFast } from './in-place.ts';
import { measureSpeed } from './measure-speed.ts';
import { planRestore } from './plan.ts';
import type { RestorePlan } from './plan.ts';
import { RestoreProgress } from './progress.ts';
import { readDropScript, readSchema } from './read-schema.ts';
import { isInPlace } from './request.ts';
import type { RestoreRequest } from './request.ts';
import { indexRows } from './row-sources.ts';
import { createMissingRoles, missingRoles, requiredRoles } from './roles.ts';
import { stageDump } from './staged-dump.ts';
import { connectBesideTarget, contents, isSameDatabase, targetBlockers } from './target.ts';

/** What a restore would do, from the repository alone. */
export async function planOf(
  asked: RestoreRequest,
): Promise<{ plan: RestorePlan; index: ReadonlyMap<number, readonly StoredRange[]> }> {
  const { request, index } = await indexRows(asked);
  const { manifest } = request;
  const tools = chooseTools(request.tools, Math.trunc(manifest.server.version / 10_000));
  const entries = isInPlace(request) ? [] : await readSchema(request, tools);
  return {
    plan: planRestore({
      manifest,
      scope: isInPlace(request) ? { ...request.scope, part: 'data-only' } : request.scope,
      index,
      entries,
      database: { name: request.target.database, restored: request.create || request.globals },
    }),
    index,
  };
}

/** What a restore would do and what stands in its way, also on the target where it can be reached. */
export async function previewRestore(asked: RestoreRequest): Promise<RestorePlan> {
  await using staged = await stageDump(asked, { only: 'contents' });
  const { request } = staged;
  const { plan } = await planOf(request);
  try {
    await using connection = await connect(request.target, {
      side: 'target',
      job: 'restore',
      signal: request.signal,
    });
    return await previewOn(connection, request, plan);
  } catch (error) {
    const failure = asFailure(error);
    if (request.create && failure.code === 'target.no_database') {
      await using beside = await connectBesideTarget(request.target, request);
      return await withForecast(beside, request, plan);
    }
    if (failure.exitCode !== 7) throw failure;
    return { ...plan, blockers: [...plan.blockers, failure.message] };
  }
}

async function previewOn(
  connection: Connection,
  request: RestoreRequest,
  plan: RestorePlan,
): Promise<RestorePlan> {
  const project = isInPlace(request) ? undefined : await readProject(connection);
  const fitted = fit(request, plan, project);
  const found =
    request.clean || request.scope.part === 'data-only'
      ? []
      : await contents(connection, { except: platformSchemas(project) });
  const source = await refuseSource(request, connection).then(
    () => [],
    (error: unknown) => [asFailure(error).message],
  );
  const blockers = await blockersOf(request, fitted, connection);
  const filled = found.length === 0 ? [] : [`the target is not empty: ${found.slice(0, 5).join(', ')}`];
  const forecast = await withForecast(connection, request, fitted);
  return { ...forecast, blockers: [...forecast.blockers, ...source, ...filled, ...blockers] };
}

/** The plan with what it takes: room and time. */
async function withForecast(
  connection: Connection,
  request: RestoreRequest,
  plan: RestorePlan,
): Promise<RestorePlan> {
  if (plan.tables.length === 0) return plan;
  const time = estimateTime(plan, await measureSpeed(request, connection.settings));
  return { ...(await withSpace(connection, request, plan)), time };
}

/** Everything that must hold before the first change (DESIGN §7, preflight). */
export async function begin(
  request: RestoreRequest,
  fromRepository: RestorePlan,
  connection: Connection,
): Promise<{ readonly progress: RestoreProgress; readonly plan: RestorePlan }> {
  const { scope } = request;
  await refuseSource(request, connection);
  const project = await readProject(connection);
  const plan = fit(request, fromRepository, project);
  await refuseTooLittleSpace(request, plan, connection);
  if (request.globals) await createMissingRoles(connection, request);
  const blockers = [...plan.blockers, ...(await blockersOf(request, plan, connection))];
  if (blockers.length > 0) throw new Failure('target.blocked', blockers.join('; '), { facts: { blockers } });
  const id = restoreId(request);
  const underWay = await RestoreProgress.find(connection);
  // What several connections of pg_restore did is not known one by one: that can't go on.
  const goesOn = underWay === id && (request.manifest.engine === 'copy' || project !== undefined);
  if (underWay !== undefined && !goesOn && !request.clean) {
    throw new Failure('target.half_done', `the target is half way through a restore (${underWay})`, {
      facts: { restore: underWay },
    });
  }
  if (!goesOn && scope.part !== 'data-only') {
    if (request.clean) await dropWhatStands(request, connection, project && { project, plan });
    else await refuseFilled(request, connection, project);
  }
  return { progress: await RestoreProgress.open(connection, id), plan };
}

/** The plan for what the target is. */
function fit(request: RestoreRequest, plan: RestorePlan, project: ProjectFacts | undefined): RestorePlan {
  if (project === undefined) return plan;
  return planIntoSupabase(plan, project, request);
}

function platformSchemas(project: ProjectFacts | undefined): string[] {
  return project === undefined ? [] : project.schemas.filter((schema) => isPlatformSchema(schema));
}

async function blockersOf(
  request: RestoreRequest,
  plan: RestorePlan,
  connection: Connection,
): Promise<string[]> {
  const entries = [...plan.preData, ...plan.postData];
  const roles = await missingRoles(connection, requiredRoles(entries, request));
  const existing = plan.tables.filter((table) => plan.existing?.has(table.number) === true);
  return [
    ...(request.clean ? await heldFast(connection, existing) : []),
    ...(await targetBlockers(connection, request.manifest, { schema: request.scope.part !== 'data-only' })),
    ...(roles.length === 0
      ? []
      : [
          `roles are missing on the target: ${roles.join(', ')} (--globals makes them; --no-owner --no-privileges do without)`,
        ]),
  ];
}

/** Also after a drop, which is undone then: of what the snapshot does not list nothing is dropped or buried. */
async function refuseFilled(
  request: RestoreRequest,
  connection: Connection,
  project: ProjectFacts | undefined,
): Promise<void> {
  const found = await contents(connection, { except: platformSchemas(project) });
  if (found.length === 0) return;
  throw new Failure('target.not_empty', `the target is not empty: ${found.slice(0, 5).join(', ')}`, {
    facts: { found: found.slice(0, 5) },
    ...(request.clean && {
      remedy:
        'these are not in the snapshot, so --clean keeps its hands off and has dropped nothing: drop them yourself',
    }),
  });
}

/** `--clean`: drops what the archive lists, in one transaction and without CASCADE; all that is there, or nothing. */
async function dropWhatStands(
  request: RestoreRequest,
  connection: Connection,
  into: { readonly project: ProjectFacts; readonly plan: RestorePlan } | undefined,
): Promise<void> {
  const tools = chooseTools(request.tools, Math.trunc(request.manifest.server.version / 10_000));
  await connection.execute('BEGIN');
  await RestoreProgress.remove(connection);
  const drops = await readDropScript(request, tools, into && dropsInProject(into.plan, into.project));
  const foreignKeys = await connection.query<{ sql: string }>(sqlFile('target/foreign-keys'), [
    platformSchemas(into?.project),
  ]);
  for (const { sql } of foreignKeys) await connection.execute(sql);
  if (drops !== '') await connection.execute(drops);
  // Leaving here ends the session, and with it the transaction.
  await refuseFilled(request, connection, into?.project);
  await connection.commit();
}

/** Decided live where the source can be reached, else by its address. */
export async function refuseSource(request: RestoreRequest, connection: Connection): Promise<void> {
  if (request.source === undefined) return;
  const key = randomBytes(8).readBigInt64BE();
  const same = await isSameDatabase(request.source, connection, { key, signal: request.signal });
  const named =
    request.source.host === request.target.host &&
    request.source.port === request.target.port &&
    request.source.database === request.target.database;
  if (same === true || (same === undefined && named)) {
    throw new Failure('target.is_source', `${request.target.display} is the source itself`, {
      facts: { target: request.target.display },
    });
  }
}

/** Two restores are the same when they bring the same of the same snapshot. */
/** Says which restore the target is in the middle of. */
export function restoreId({ manifest, replaced = [], scope, continuation }: RestoreRequest): string {
  const of = [...scope.tables, ...scope.schemas.map((schema) => `${schema}.*`)].sort().join(' ');
  const rows = replaced.map(({ snapshot, tables }) => `${snapshot.manifest.id}:${tables.join()}`).join(' ');
  return [manifest.id, rows, scope.part, of, continuation?.id ?? ''].filter((part) => part !== '').join(' ');
}
