import { CodecThreads } from '../archive/codec-threads.ts';
import type { Manifest, TableEntry } from '../archive/manifest.ts';
import { Failure, asFailure, throwIfAborted } from '../model/failure.ts';
import type { RelationName } from '../model/identifiers.ts';
import { connect } from '../postgres/connection.ts';
import type { Connection } from '../postgres/connection.ts';
import {
  analyze,
  checkCounts,
  makeDurable,
  presentTables,
  refreshAllBut,
  refreshMaterializedViews,
  setSequences,
  targetSession,
} from './finish.ts';
import { brokenKeys, foreignKeyViolations } from './foreign-keys.ts';
import { refuseTooLittleSpace } from './check-space.ts';
import { applyDatabaseStatements } from './apply-database.ts';
import { loadDump } from './load-dump.ts';
import { loadTasks, loadUnits, tablesBelow } from './load-data.ts';
import { restoreLargeObjects } from './large-objects.ts';
import type { StoredRange } from '../catalog/member-index.ts';
import type { RestorePlan } from './plan.ts';
import { watchPulse } from '../postgres/pulse.ts';
import { failpoint } from '../runtime/failpoints.ts';
import type { Failpoint } from '../runtime/failpoints.ts';
import { begin, restoreId, planOf, refuseSource } from './preflight.ts';
import { RestoreProgress } from './progress.ts';
import { loadInPlace, loadOnce } from './in-place.ts';
import { isParallel, restoreDump } from './restore-dump.ts';
import { isInPlace } from './request.ts';
import type { BrokenKey, Continuation, RestorePhase, RestoreReport, RestoreRequest } from './request.ts';
import { entryTasks, isKey, partPostData, runInOrder, weakItem } from './run-entries.ts';
import type { PostData, RunOptions } from './run-entries.ts';
import { rowSources } from './row-sources.ts';
import type { RowSource } from './row-sources.ts';
import type { SchemaEntry } from './schema-script.ts';
import { shareOut } from './share-out.ts';
import { stageDump } from './staged-dump.ts';
import { createDatabase, targetBlockers } from './target.ts';

/**
 * Restores a snapshot, or some of its tables, into a target database. What is done is recorded on the target
 * in the same transactions, so a restore that was killed goes on when it is started again.
 */
export async function restoreSnapshot(asked: RestoreRequest): Promise<RestoreReport> {
  const started = performance.now();
  await using staged = await stageDump(asked, {});
  const stop = new AbortController();
  const signal = AbortSignal.any([asked.signal, stop.signal]);
  const request = { ...staged.request, signal };
  const { plan: fromRepository, index } = await planOf(request);
  await failpoint('restore.planned');
  if (request.create) {
    const before = (connection: Connection): Promise<void> =>
      refuseTooLittleSpace(request, fromRepository, connection);
    await createDatabase(request.target, request.manifest, { signal, before });
  }
  await using run = new AsyncDisposableStack();
  // One thread unpacks more than four connections load.
  const threads = new CodecThreads({ most: Math.ceil(request.jobs / 4) });
  const sourceOf = rowSources(request, run.use(threads));
  const [watcher, ...connections] = await openConnections(request, run);
  const [first] = connections;
  if (watcher !== undefined) {
    const pulse = watchPulse(watcher, (error) => stop.abort(asFailure(error)));
    run.defer(() => pulse.stop());
  }
  if (first === undefined) throw new Error('a restore needs a connection');
  // Awaited here: the connections close when this function ends.
  if (isInPlace(request) && request.continuation !== undefined) throw inPlaceWithChanges(request.manifest.id);
  if (isInPlace(request))
    return await restoreInPlace(request, {
      plan: fromRepository,
      index,
      sourceOf,
      connections,
      first,
      started,
    });
  if (request.manifest.engine === 'pg_dump') refuseCleanOfPart(request);
  const { continuation } = request;
  const { progress, plan } = await begin(request, fromRepository, first);
  await failpoint('restore.begun');
  const isDump = request.manifest.engine === 'pg_dump';
  if (isDump && plan.existing === undefined)
    return await runDump(request, { plan, connections, first, started });
  request.onEvent({ kind: 'planned', plan, continued: progress.started });
  const phases = new Phases(request, progress);
  await phases.run('pre-data', plan.preData.length, () =>
    runInOrder(first, plan.preData, entryOptions(request, progress)),
  );
  const post = partPostData(plan.postData);
  // While changes are applied, each index beyond the keys would be kept up row by row.
  const early = continuation === undefined ? post.indexes : post.indexes.filter((entry) => isKey(entry));
  const onRange = counter(request, plan);
  const existing = plan.tables.filter((table) => plan.existing?.has(table.number) === true);
  if (existing.length > 0 && !isDump) {
    await phases.run('data of the platform’s tables', existing.length, () =>
      loadOnce(first, request, { tables: existing, index, sourceOf, onRange, progress }),
    );
  }
  const definitions = (): Promise<void> => buildPostData(connections, post, entryOptions(request, progress));
  await phases.run('data', plan.tables.length, async () => {
    if (isDump) await loadDump(first, request, { plan, existing, progress });
    await load(request, { plan, index, sourceOf, progress, connections, indexes: early, onRange });
  });
  if (isWhole(request)) {
    const parts = request.manifest.parts.filter((part) => part.role === 'large-objects').length;
    await phases.run('large objects', parts, () => restoreLargeObjects(request, progress));
  }
  // Not again once triggers may be there: a later `latest` would fire them.
  if (continuation !== undefined && !progress.has(CHANGES)) {
    const complete = async (): Promise<void> => {
      if (progress.has(SCHEMA_CHANGES)) return;
      await definitions();
      await setSequences(first, plan.sequences);
      await first.execute(progress.record([SCHEMA_CHANGES]));
      progress.committed([SCHEMA_CHANGES]);
    };
    const restore = { ...continuedBy(request, plan), id: progress.id, isFinished: false, complete };
    await phases.run('changes', 1, async () => {
      await progress.keepOutcome(first, { item: CHANGES, outcome: await continuation.run(restore) });
    });
  }
  await phases.run('post-data', plan.postData.length - early.length, async () => {
    await definitions();
    await runInOrder(first, post.last, entryOptions(request, progress));
  });
  // Named by the snapshot, and what its names stand for may have changed since.
  const isChanged = progress.has(SCHEMA_CHANGES);
  await phases.run('sequences', plan.sequences.length, async () => {
    if (!isChanged) await setSequences(first, plan.sequences);
    await continuation?.advanceSequences(first, progress.outcome ?? '');
  });
  await phases.run('materialized views', plan.materializedViews.length, () =>
    isChanged
      ? refreshAllBut(first, unpopulated(request.manifest))
      : refreshMaterializedViews(first, plan.materializedViews),
  );
  await phases.run('analyze', plan.tables.length, async () =>
    analyze(connections, isChanged ? await presentTables(first) : plan.tables, request.signal),
  );
  // The changes' own counts were checked one by one.
  if (continuation === undefined) {
    await phases.run('check', plan.tables.length, () =>
      checkCounts(connections, plan.tables, request.signal),
    );
  }
  const broken = await brokenKeysOf(first, {
    foreignKeys: post.foreignKeys,
    loadedAsReplica: existing,
    progress,
  });
  const notes = await applyDatabaseStatements(first, plan.database);
  await makeDurable(first);
  await failpoint('restore.durable');
  await RestoreProgress.remove(first);
  await failpoint('restore.progress-removed');
  const done = { ...plan, brokenKeys: broken, notes: [...plan.notes, ...notes] };
  return {
    ...reportOf(request, done, started),
    ...(progress.outcome !== undefined && { outcome: progress.outcome }),
  };
}

const CHANGES = 'phase:changes';
/** Everything else was brought before them. */
const SCHEMA_CHANGES = 'phase:schema-changes';

function continuedBy(
  request: RestoreRequest,
  { preData, postData }: RestorePlan,
): Omit<Parameters<Continuation['run']>[0], 'id' | 'isFinished' | 'complete'> {
  const { owners, signal, manifest } = request;
  const isPart = !isWhole(request) || manifest.scope.kind !== 'whole';
  return { objects: [...preData, ...postData], owners, isPart, signal };
}

/** All but what would answer to the changes that may still come. */
async function buildPostData(
  connections: readonly Connection[],
  post: PostData,
  options: RunOptions,
): Promise<void> {
  const [first] = connections;
  if (first === undefined) return;
  await shareOut(connections, entryTasks(post.indexes, options), options.signal);
  await runInOrder(first, post.attachments, options);
  await shareOut(connections, entryTasks(post.foreignKeys, options), options.signal);
  await runInOrder(first, post.rest, options);
}

function unpopulated({ materializedViews }: Manifest): readonly RelationName[] {
  return materializedViews.filter((view) => !view.populated);
}

/** One to watch, and those that restore. */
async function openConnections(request: RestoreRequest, run: AsyncDisposableStack): Promise<Connection[]> {
  const connections: Connection[] = [];
  for (let count = 0; count < 1 + Math.max(1, request.jobs); count += 1) {
    const connection = await connect(request.target, {
      side: 'target',
      job: 'restore',
      signal: request.signal,
      session: targetSession(request.manifest),
    });
    connections.push(run.use(connection));
  }
  return connections;
}

/** `--clean` by the dump's own list would drop all that the snapshot holds, not only what comes back. */
function refuseCleanOfPart({ manifest, scope, clean }: RestoreRequest): void {
  if (!clean || scope.tables.length + scope.schemas.length === 0) return;
  throw new Failure(
    'recovery.refused',
    `snapshot ${manifest.id} is of engine pg_dump: --clean is for the whole of it`,
    {
      facts: { snapshot: manifest.id },
      remedy: 'restore these tables into another database, or empty them and pass --data-only',
    },
  );
}

/** One transaction replaces rows in place; changes of hours would hold its locks as long. */
function inPlaceWithChanges(snapshot: string): Failure {
  return new Failure(
    'recovery.refused',
    'rows in place come from a snapshot alone, not from a point after it',
    {
      facts: { snapshot },
      remedy:
        'restore into another database and move the rows from there, or name a snapshot with --to snapshot:ID',
    },
  );
}

async function runDump(
  request: RestoreRequest,
  work: {
    readonly plan: RestorePlan;
    readonly connections: readonly Connection[];
    readonly first: Connection;
    readonly started: number;
  },
): Promise<RestoreReport> {
  const { plan, connections, first } = work;
  const targetMajor = Math.trunc(first.serverVersion / 10_000);
  // One transaction leaves nothing half done; of several connections, this schema tells that they were at work.
  if (!isParallel(request, targetMajor)) await RestoreProgress.remove(first);
  request.onEvent({ kind: 'planned', plan, continued: false });
  request.onEvent({ kind: 'phase', phase: 'data', items: plan.tables.length });
  await restoreDump(request, { plan, targetMajor });
  await failpoint('restore.dump-restored');
  const { continuation, signal } = request;
  let outcome: string | undefined;
  if (request.scope.part !== 'schema-only') {
    // All of a dump brings its own positions; of a part, they are not in pg_restore's selection.
    if (!isWhole(request)) await setSequences(first, plan.sequences);
    if (continuation !== undefined) {
      request.onEvent({ kind: 'phase', phase: 'changes', items: 1 });
      const complete = (): Promise<void> => Promise.resolve();
      const restore = { ...continuedBy(request, plan), id: restoreId(request), isFinished: true, complete };
      outcome = await continuation.run(restore);
      await continuation.advanceSequences(first, outcome);
    }
    request.onEvent({ kind: 'phase', phase: 'analyze', items: plan.tables.length });
    const tables = continuation === undefined ? plan.tables : await presentTables(first);
    await analyze(connections, tables, request.signal);
    request.onEvent({ kind: 'phase', phase: 'check', items: plan.tables.length });
    if (continuation === undefined) await checkCounts(connections, plan.tables, signal);
  }
  // Foreign keys were there while changes were applied by a session that does not mind them.
  const { broken } = outcome === undefined ? { broken: [] } : await foreignKeyViolations(first);
  const notes = await applyDatabaseStatements(first, plan.database);
  await RestoreProgress.remove(first);
  const done = { ...plan, brokenKeys: broken, notes: [...plan.notes, ...notes] };
  return { ...reportOf(request, done, work.started), ...(outcome !== undefined && { outcome }) };
}

async function restoreInPlace(
  request: RestoreRequest,
  work: {
    readonly plan: RestorePlan;
    readonly index: ReadonlyMap<number, readonly StoredRange[]>;
    readonly sourceOf: (table: TableEntry) => RowSource;
    readonly connections: readonly Connection[];
    readonly first: Connection;
    readonly started: number;
  },
): Promise<RestoreReport> {
  const { plan, index, connections, first } = work;
  const { signal, onEvent } = request;
  await refuseSource(request, first);
  const blockers = await targetBlockers(first, request.manifest, { schema: false });
  if (blockers.length > 0) throw new Failure('target.blocked', blockers.join('; '), { facts: { blockers } });
  await refuseTooLittleSpace(request, plan, first);
  onEvent({ kind: 'planned', plan, continued: false });
  onEvent({ kind: 'phase', phase: 'data', items: plan.tables.length });
  await loadInPlace(first, request, {
    tables: plan.tables,
    index,
    sourceOf: work.sourceOf,
    onRange: counter(request, plan),
  });
  if (request.scope.tables.length + request.scope.schemas.length === 0)
    await setSequences(first, plan.sequences);
  onEvent({ kind: 'phase', phase: 'analyze', items: plan.tables.length });
  await analyze(connections, plan.tables, signal);
  onEvent({ kind: 'phase', phase: 'check', items: plan.tables.length });
  await checkCounts(connections, plan.tables, signal);
  const { broken } = await foreignKeyViolations(first, { tables: plan.tables });
  return reportOf(request, { ...plan, brokenKeys: broken }, work.started);
}

/** Foreign keys that were made are checked, unless rows break them; of tables that were there, none is. */
async function brokenKeysOf(
  connection: Connection,
  of: {
    readonly foreignKeys: readonly SchemaEntry[];
    readonly loadedAsReplica: readonly TableEntry[];
    readonly progress: RestoreProgress;
  },
): Promise<BrokenKey[]> {
  const weak = of.foreignKeys.filter((entry) => of.progress.has(weakItem(entry)));
  const { broken } = await foreignKeyViolations(connection, { tables: of.loadedAsReplica });
  return [...broken, ...(await brokenKeys(connection, weak))];
}

/** Large objects belong to no table: they come back with everything or not at all. */
function isWhole({ scope }: RestoreRequest): boolean {
  return scope.tables.length + scope.schemas.length === 0 && scope.part === 'all';
}

function entryOptions(request: RestoreRequest, progress: RestoreProgress): RunOptions {
  return {
    progress,
    signal: request.signal,
    onEntry: (entry) => request.onEvent({ kind: 'entry', name: `${entry.type.toLowerCase()} ${entry.name}` }),
  };
}

/** Rows, and what stands on a table's rows as soon as they are there: one large table leaves no connection idle. */
function load(
  request: RestoreRequest,
  work: {
    readonly plan: RestorePlan;
    readonly index: ReadonlyMap<number, readonly StoredRange[]>;
    readonly sourceOf: (table: TableEntry) => RowSource;
    readonly progress: RestoreProgress;
    readonly connections: readonly Connection[];
    /** Built as soon as their tables have all rows. */
    readonly indexes: readonly SchemaEntry[];
    readonly onRange: (range: StoredRange) => void;
  },
): Promise<void> {
  const { plan, progress, onRange } = work;
  const own = plan.tables.filter((table) => plan.existing?.has(table.number) !== true);
  const units = loadTasks(loadUnits(own, work.index, { mayTruncate: true }), {
    sourceOf: work.sourceOf,
    progress,
    signal: request.signal,
    onRange,
  });
  const below = tablesBelow(plan.preData, plan.tables);
  const indexes = entryTasks(work.indexes, {
    ...entryOptions(request, progress),
    isReady: (entry) => units.isLoaded(below(entry)),
  });
  return shareOut(work.connections, [...units.tasks, ...indexes], request.signal);
}

function counter(request: RestoreRequest, plan: RestorePlan): (range: StoredRange) => void {
  let doneBytes = 0;
  let rows = 0n;
  return (range) => {
    doneBytes += range.copyBytes;
    rows += range.rows;
    request.onEvent({ kind: 'progress', doneBytes, totalBytes: plan.copyBytes, rows });
  };
}

function reportOf(
  request: RestoreRequest,
  plan: RestorePlan & Pick<RestoreReport, 'brokenKeys'>,
  started: number,
): RestoreReport {
  return {
    snapshot: request.manifest.id,
    tables: plan.tables.length,
    rows: plan.rows,
    copyBytes: plan.copyBytes,
    milliseconds: performance.now() - started,
    notes: plan.notes,
    brokenKeys: plan.brokenKeys,
  };
}

const AFTER: Readonly<Partial<Record<RestorePhase, Failpoint>>> = {
  'pre-data': 'restore.after-pre-data',
  data: 'restore.after-data',
  changes: 'restore.after-changes',
  'post-data': 'restore.after-post-data',
  sequences: 'restore.after-sequences',
  'materialized views': 'restore.after-views',
  analyze: 'restore.after-analyze',
  check: 'restore.after-check',
};

/** Announces phases, and says what is half done when one fails. */
class Phases {
  readonly #request: RestoreRequest;
  readonly #progress: RestoreProgress;

  constructor(request: RestoreRequest, progress: RestoreProgress) {
    this.#request = request;
    this.#progress = progress;
  }

  async run(phase: RestorePhase, items: number, act: () => Promise<void>): Promise<void> {
    throwIfAborted(this.#request.signal);
    this.#request.onEvent({ kind: 'phase', phase, items });
    try {
      await act();
      const after = AFTER[phase];
      if (after !== undefined) await failpoint(after);
    } catch (error) {
      const failure = asFailure(error);
      throw new Failure(failure.code, `${phase}: ${failure.message}`, {
        facts: { ...failure.facts, phase, restore: this.#progress.id },
        remedy: `${failure.code === 'interrupted' ? '' : `${failure.remedy}; `}the target is half restored: the same command goes on from here, or drop the database`,
        cause: failure,
      });
    }
  }
}
