import type { Manifest, StoredObject } from '../archive/manifest.ts';
import { keys } from '../catalog/keys.ts';
import { ensureSource } from '../catalog/repository.ts';
import { previousSnapshot, publishManifest, signManifest } from '../catalog/snapshots.ts';
import { Failure, asFailure, interruption, throwIfAborted } from '../model/failure.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { openStaging } from '../runtime/staging.ts';
import { readDefinitionVersions, readExtensions, readTableDefinitions } from '../postgres/inventory.ts';
import { readSequences } from '../postgres/sequences.ts';
import { chooseTools } from '../postgres/tools.ts';
import { copyTables } from './copy-tables.ts';
import type { CopiedTables } from './copy-tables.ts';
import { countTables } from './dump-full.ts';
import { dumpFull, dumpFullInParallel, dumpGlobals, dumpLargeObjects, dumpSchema } from './dump-tools.ts';
import type { DumpContext, FullDump } from './dump-tools.ts';
import { untilFlushed } from './keeper.ts';
import { orGaveWay } from './lock-watch.ts';
import { buildManifest, sourceDocument } from './build-manifest.ts';
import { prepare } from './prepare.ts';
import type { Prepared } from './prepared.ts';
import type { SnapshotRequest } from './request.ts';
import { applicationName } from './source-session.ts';
import { storeWitness } from './take-witness.ts';
import { digestTables } from './witness-tables.ts';
import type { DigestedTables } from './witness-tables.ts';

/**
 * Takes one consistent snapshot of a source into a repository and returns its manifest.
 *
 * It exists only when this returns (P2): whatever ends it earlier, the objects written so far are removed
 * where the store still answers, and without a manifest they never count.
 */
export async function takeSnapshot(request: SnapshotRequest): Promise<Manifest> {
  const stop = new AbortController();
  const signal = AbortSignal.any([request.signal, stop.signal]);
  const failed = (reason: unknown): void => {
    if (!signal.aborted) stop.abort(asFailure(reason));
  };
  const startedAt = new Date();
  const written: { id: string | undefined } = { id: undefined };
  try {
    await using run = new AsyncDisposableStack();
    const prepared = await prepare(
      {
        ...request,
        signal,
        job: 'snapshot',
        onServer: (facts) => {
          chooseTools(request.tools, Math.trunc(facts.versionNumber / 10_000));
          request.onEvent({ kind: 'phase', phase: 'locking' });
        },
        onPlanned: (id, plan) => request.onEvent({ kind: 'planned', id, plan }),
      },
      { run, failed },
    );
    written.id = prepared.id;
    const manifest = await store({ ...request, signal }, { prepared, startedAt });
    const final = await signManifest(request.repository, manifest, { signal });
    await failpoint('snapshot.before-manifest');
    throwIfAborted(signal);
    // From here on the snapshot may exist: nothing of it is removed, and a stop waits for the answer.
    written.id = undefined;
    await publishManifest(request.repository, final, { signal: AbortSignal.timeout(PUBLISH_MS) });
    await failpoint('snapshot.after-manifest');
    return manifest;
  } catch (error) {
    if (written.id !== undefined) await removeObjects(request, written.id);
    // Once stopped, each part only reports that it was: the first reason is the one that tells.
    throw signal.aborted ? interruption(signal) : asFailure(error);
  }
}

async function store(
  request: SnapshotRequest,
  run: { readonly prepared: Prepared; readonly startedAt: Date },
): Promise<Manifest> {
  const { prepared } = run;
  const { keeper, facts, snapshot } = prepared;
  const source = await ensureSource(request.repository, sourceDocument(request.source, prepared), request);
  await failpoint('snapshot.source-written');
  const definitionsBefore = await readDefinitionVersions(keeper);
  const tools = chooseTools(request.tools, Math.trunc(facts.versionNumber / 10_000));
  const context: DumpContext = {
    settings: request.settings,
    tools,
    job: prepared.sessions.job,
    snapshot,
    lockTimeoutMs: request.lockTimeoutMs,
    encoding: facts.encoding,
    store: request.repository.store,
    keyOf: (name) => keys.snapshotObject(request.source, prepared.id, name),
    sealer: request.sealer,
    signal: request.signal,
  };
  const extensions = await readExtensions(keeper);
  const sequences = await readSequences(keeper, prepared.selected.sequences);
  const definitions = await readTableDefinitions(
    keeper,
    prepared.selected.tables.map((table) => table.oid),
  );
  request.onEvent({ kind: 'phase', phase: 'copying' });
  const { copied, parts } = await (request.engine === 'copy' ? runCopy : runPgDump)(
    request,
    prepared,
    context,
  );
  await failpoint('snapshot.copied');
  const digested = await digest(request, prepared);
  request.onEvent({ kind: 'phase', phase: 'finishing' });
  await refuseChangedDefinitions(prepared, definitionsBefore);
  await untilFlushed(prepared.watcher, snapshot, request.signal);
  await failpoint('snapshot.flushed');
  // A server that crashed took the keeper with it, and with it the right to call this one snapshot.
  await keeper.execute('ROLLBACK');
  await failpoint('snapshot.unlocked');
  const { source: name, signal } = request;
  if (digested !== undefined)
    await storeWitness(request, prepared, digested, { snapshot: prepared.id, signal });
  const previous = await previousSnapshot(request.repository, { source: name, signal });
  return buildManifest({
    request,
    prepared,
    source,
    startedAt: run.startedAt,
    tools,
    extensions,
    sequences,
    definitions,
    copied,
    parts,
    previous,
  });
}

/** Undefined where no witness is wanted, or there is nothing to see. */
async function digest(request: SnapshotRequest, prepared: Prepared): Promise<DigestedTables | undefined> {
  const { tables } = prepared.selected;
  if (!request.witness || tables.length === 0) return undefined;
  request.onEvent({ kind: 'phase', phase: 'digesting' });
  return digestTables(prepared, {
    tables,
    jobs: request.jobs,
    endsAt: Number.POSITIVE_INFINITY,
    signal: request.signal,
    onTable: () => undefined,
  });
}

interface Stored {
  readonly copied: CopiedTables;
  readonly parts: Manifest['parts'];
}

/** Engine copy: rows by our own workers; pg_dump tells the schema and large objects. */
async function runCopy(request: SnapshotRequest, prepared: Prepared, context: DumpContext): Promise<Stored> {
  const locked = namingWaiters(request, prepared);
  const [copied, schema, globals, largeObjects] = await allOrNothing(prepared.failed, [
    copyTables(request, prepared),
    locked(dumpSchema(context, prepared.unreadable)),
    dumpGlobals(context),
    holdsLargeObjects(request, prepared).then((some) =>
      some ? locked(dumpLargeObjects(context)) : undefined,
    ),
  ]);
  return {
    copied,
    parts: [
      { role: 'schema', ...schema },
      { role: 'globals', ...globals },
      ...(largeObjects === undefined ? [] : [{ role: 'large-objects' as const, ...largeObjects }]),
    ],
  };
}

/** Engine pg_dump: rows are counted beside it on the same snapshot. */
async function runPgDump(
  request: SnapshotRequest,
  prepared: Prepared,
  context: DumpContext,
): Promise<Stored> {
  const { unreadable, selected } = prepared;
  const largeObjects = request.largeObjects && selected.scope.kind === 'whole';
  const dump: FullDump = { unreadable, withoutData: selected.withoutData, largeObjects };
  const locked = namingWaiters(request, prepared);
  const [copied, full, globals] = await allOrNothing(prepared.failed, [
    countTables(request, prepared),
    locked(
      request.staging === undefined
        ? dumpFull(context, dump)
        : dumpByStaging(request, { root: request.staging, prepared, context, dump }),
    ),
    dumpGlobals(context),
  ]);
  const role = request.staging === undefined ? 'full-custom' : 'full-directory';
  return {
    copied,
    parts: [
      { role, ...full },
      { role: 'globals', ...globals },
    ],
  };
}

/** The database's own size is room enough: pg_dump compresses, and indexes are not in it. */
async function dumpByStaging(
  request: SnapshotRequest,
  run: {
    readonly root: string;
    readonly prepared: Prepared;
    readonly context: DumpContext;
    readonly dump: FullDump;
  },
): Promise<StoredObject> {
  const { plan, snapshot } = run.prepared;
  await using staging = await openStaging(run.root, {
    bytes: Number(plan.totalBytes),
    what: 'this dump',
  });
  return await dumpFullInParallel(run.context, run.dump, {
    staging: staging.path,
    jobs: request.jobs,
    modified: new Date(snapshot.instant),
  });
}

/** Wraps runs of pg_dump, which locks tables too. */
function namingWaiters(
  { lockTimeoutMs }: SnapshotRequest,
  { watcher, sessions }: Prepared,
): <T>(dump: Promise<T>) => Promise<T> {
  return (dump) => orGaveWay(watcher, { lockTimeoutMs, applicationName: applicationName(sessions) }, dump);
}

/** Waits for all. The first failure stops the others, and is thrown when they have ended. */
async function allOrNothing<T extends readonly unknown[]>(
  failed: (reason: unknown) => void,
  tasks: { readonly [K in keyof T]: Promise<T[K]> },
): Promise<T> {
  for (const task of tasks) task.catch(failed);
  await Promise.allSettled(tasks);
  return Promise.all(tasks);
}

async function holdsLargeObjects(request: SnapshotRequest, prepared: Prepared): Promise<boolean> {
  if (!request.largeObjects || prepared.selected.scope.kind !== 'whole') return false;
  const [row] = await prepared.watcher.query<{ some: boolean }>(
    'SELECT EXISTS (SELECT FROM pg_largeobject_metadata) AS "some"',
  );
  return row?.some === true;
}

/** pg_get_viewdef() and its like read the latest catalog: what changed meanwhile may not fit the data. */
async function refuseChangedDefinitions(prepared: Prepared, before: ReadonlySet<string>): Promise<void> {
  const after = await readDefinitionVersions(prepared.watcher);
  const changed = [...before].filter((version) => !after.has(version));
  if (changed.length > 0) {
    throw new Failure(
      'source.changed',
      `${changed.length} definition(s) changed while the schema was dumped`,
      {
        facts: { kinds: [...new Set(changed.map((version) => version.split(':')[0] ?? ''))] },
      },
    );
  }
}

const PUBLISH_MS = 120_000;
const CLEAN_UP_MS = 15_000;

/** Best effort: without a manifest the objects don't count, they only cost. */
async function removeObjects(request: SnapshotRequest, id: string): Promise<void> {
  const { store } = request.repository;
  const signal = AbortSignal.timeout(CLEAN_UP_MS);
  try {
    for await (const object of store.list(keys.snapshot(request.source, id), { signal })) {
      await store.delete(object.key, { signal });
    }
  } catch {
    // The store that failed the snapshot may fail this too; `doctor` finds what was left.
  }
}
