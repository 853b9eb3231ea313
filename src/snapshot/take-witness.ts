import { FORMAT_VERSION } from '../archive/manifest.ts';
import type { Sealer } from '../archive/age.ts';
import type { WitnessDocument } from '../archive/witness-document.ts';
import type { Repository } from '../catalog/repository.ts';
import { listWitnesses, publishWitness, readWitness } from '../catalog/witnesses.ts';
import { Failure, asFailure, interruption } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import { DIGEST_METHOD } from '../witness/digest-statement.ts';
import { rotation } from '../witness/rotation.ts';
import { untilFlushed } from './keeper.ts';
import { pinned, tieOf } from './build-manifest.ts';
import { prepare } from './prepare.ts';
import type { Prepared } from './prepared.ts';
import type { SnapshotRequest } from './request.ts';
import { digestTables } from './witness-tables.ts';
import type { DigestedRelation, DigestedTables, LeftRelation } from './witness-tables.ts';

/** All that a witness needs to know. */
export interface WitnessRequest extends Pick<
  SnapshotRequest,
  | 'source'
  | 'settings'
  | 'repository'
  | 'others'
  | 'selection'
  | 'jobs'
  | 'sealer'
  | 'lockTimeoutMs'
  | 'patienceMs'
  | 'program'
  | 'signal'
> {
  /** How long the source is read; what was not reached comes first the next time. */
  readonly maxMs: number;
  readonly onEvent: (event: WitnessEvent) => void;
}

export type WitnessEvent =
  | { readonly kind: 'planned'; readonly id: string; readonly tables: number; readonly totalBytes: bigint }
  | { readonly kind: 'table'; readonly doneBytes: bigint; readonly totalBytes: bigint };

/**
 * Digests the source's tables under one snapshot of it, and stores what a restore of that instant must equal. Nothing
 * counts until the whole is stored. Fails as a snapshot does, and with `check.empty` where no table was digested:
 * a witness of nothing would agree with anything.
 */
export async function takeWitness(request: WitnessRequest): Promise<WitnessDocument> {
  const stop = new AbortController();
  const signal = AbortSignal.any([request.signal, stop.signal]);
  const failed = (reason: unknown): void => {
    if (!signal.aborted) stop.abort(asFailure(reason));
  };
  try {
    await using run = new AsyncDisposableStack();
    const endsAt = performance.now() + request.maxMs;
    const prepared = await prepare(
      {
        ...request,
        signal,
        job: 'witness',
        onServer: () => undefined,
        onPlanned: (id, { tables, totalBytes }) =>
          request.onEvent({ kind: 'planned', id, tables: tables.length, totalBytes }),
      },
      { run, failed },
    );
    const done = await digestTables(prepared, {
      tables: await inTurn(request, prepared),
      jobs: request.jobs,
      endsAt,
      signal,
      onTable: progress(prepared, request.onEvent),
    });
    await untilFlushed(prepared.watcher, prepared.snapshot, signal);
    // A server that crashed took the keeper with it, and with it the right to call this one instant.
    await prepared.keeper.execute('ROLLBACK');
    return await storeWitness(request, prepared, done, { signal });
  } catch (error) {
    throw signal.aborted ? interruption(signal) : asFailure(error);
  }
}

/** Stores what was digested under the snapshot that `prepared` holds; `snapshot`: the backup of the same instant. */
export async function storeWitness(
  request: {
    readonly source: string;
    readonly repository: Repository;
    readonly sealer: Sealer | undefined;
    readonly program: string;
  },
  prepared: Prepared,
  done: DigestedTables,
  options: { readonly snapshot?: string; readonly signal: AbortSignal },
): Promise<WitnessDocument> {
  if (done.digested.length === 0)
    throw new Failure('check.empty', 'not one table was digested', {
      facts: { left: done.left.length },
    });
  const { facts } = prepared;
  const { digested } = done;
  return publishWitness(
    request.repository,
    {
      formatVersion: FORMAT_VERSION,
      kind: 'tidemark-witness',
      id: prepared.id,
      source: request.source,
      repositoryId: request.repository.document.repositoryId,
      createdBy: request.program,
      instant: prepared.snapshot.instant,
      finishedAt: new Date().toISOString(),
      tie: tieOf(prepared),
      ...(options.snapshot !== undefined && { snapshot: options.snapshot }),
      server: {
        version: facts.versionNumber,
        systemIdentifier: facts.systemIdentifier,
        timeline: Number.parseInt(facts.timelineHex ?? '0', 16),
        databaseOid: Number(facts.databaseOid),
        encoding: facts.encoding,
      },
      settings: pinned(prepared.sessions.session),
      method: DIGEST_METHOD,
      tables: digested.map(({ relation, digest, milliseconds }) => ({
        schema: relation.schema,
        name: relation.name,
        columns: [...relation.columns],
        ...(relation.condition ? { condition: relation.condition } : {}),
        rows: digest.rows.toString(),
        milliseconds,
      })),
      left: done.left.map(({ relation: { schema, name }, reason }) => ({ schema, name, reason })),
    },
    {
      lanes: digested.map(({ digest }) => digest.lanes),
      sealer: request.sealer,
      signal: options.signal,
    },
  );
}

/** Witnesses that are asked who was looked at when: more than a full turn of any rotation that makes sense. */
const LOOK_BACK = 30;

async function inTurn(request: WitnessRequest, prepared: Prepared): Promise<Prepared['selected']['tables']> {
  const { repository, source, signal } = request;
  const last = new Map<string, string>();
  for (const id of (await listWitnesses(repository, { source, signal })).slice(-LOOK_BACK))
    for (const table of (await readWitness(repository, { source, id }, { signal })).tables)
      last.set(displayRelation(table), id);
  const sizes = sizesOf(prepared);
  const candidates = prepared.selected.tables.map((relation) => ({
    schema: relation.schema,
    name: relation.name,
    bytes: sizes.get(relation.oid) ?? 0n,
    lastWitnessed: last.get(displayRelation(relation)),
    relation,
  }));
  return rotation(candidates).map(({ relation }) => relation);
}

function sizesOf({ plan }: Prepared): Map<string, bigint> {
  return new Map(plan.tables.map(({ relation, size }) => [relation.oid, size.totalBytes]));
}

function progress(
  prepared: Prepared,
  onEvent: WitnessRequest['onEvent'],
): (done: DigestedRelation | LeftRelation) => void {
  const sizes = sizesOf(prepared);
  const { totalBytes } = prepared.plan;
  let doneBytes = 0n;
  return ({ relation }) => {
    doneBytes += sizes.get(relation.oid) ?? 0n;
    onEvent({ kind: 'table', doneBytes, totalBytes });
  };
}
