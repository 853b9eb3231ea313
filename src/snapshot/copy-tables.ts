import { CodecThreads } from '../archive/codec-threads.ts';
import { keys } from '../catalog/keys.ts';
import type { Connection } from '../postgres/connection.ts';
import { ArchiveOutput } from './archive-output.ts';
import type { FinishedArchive } from './archive-output.ts';
import type { CopiedRange } from './copy-range.ts';
import { copyRanges } from './copy-worker.ts';
import { importSnapshot } from './keeper.ts';
import type { PlannedRange, PlannedTable } from './plan.ts';
import type { SnapshotRequest } from './request.ts';
import type { Prepared } from './prepared.ts';

export interface CopiedTables {
  readonly archives: readonly FinishedArchive[];
  /** By table number. */
  readonly tables: ReadonlyMap<number, CopiedRange>;
}

/** Copies every planned range by `plan.jobs` workers, each with its own connection and archives. */
export async function copyTables(request: SnapshotRequest, prepared: Prepared): Promise<CopiedTables> {
  const { plan } = prepared;
  const queue = plan.work.values();
  const progress = new Progress(request, Number(plan.totalBytes));
  const tables = new Map<number, CopiedRange>(plan.tables.map((table) => [table.number, NOTHING]));
  const keeper = turns(prepared.keeper);
  await using threads = new CodecThreads({ most: plan.jobs });
  let archives = 0;

  const worker = async (): Promise<readonly FinishedArchive[]> => {
    await using connection = await prepared.sessions.open();
    await importSnapshot(connection, prepared.snapshot);
    const output = new ArchiveOutput({
      store: request.repository.store,
      keyOf: (name) => keys.snapshotObject(request.source, prepared.id, name),
      nextNumber: () => (archives += 1),
      rollBytes: request.rollBytes,
      modified: new Date(prepared.snapshot.instant),
      signal: request.signal,
    });
    try {
      await copyRanges({
        connection,
        output,
        keeper,
        how: { ...request, encoding: prepared.facts.encoding, threads },
        signal: request.signal,
        next: () => (request.signal.aborted ? undefined : queue.next().value),
        onBytes: (bytes) => progress.received(bytes),
        onRange: (range, copied) => {
          tables.set(range.table.number, sum(tables.get(range.table.number) ?? NOTHING, copied));
          progress.ended(range, copied);
        },
      });
      return await output.finish();
    } catch (error) {
      await output.abort(error);
      throw error;
    }
  };

  const workers = Array.from({ length: plan.jobs }, worker);
  for (const one of workers) one.catch((error: unknown) => prepared.failed(error));
  await Promise.allSettled(workers);
  const finished = await Promise.all(workers);
  return { archives: finished.flat().sort((a, b) => (a.data.name < b.data.name ? -1 : 1)), tables };
}

const NOTHING: CopiedRange = { rows: 0n, copyBytes: 0n, storedBytes: 0n };

function sum(a: CopiedRange, b: CopiedRange): CopiedRange {
  return {
    rows: a.rows + b.rows,
    copyBytes: a.copyBytes + b.copyBytes,
    storedBytes: a.storedBytes + b.storedBytes,
  };
}

/** Lets callers use one connection one after the other. */
function turns(connection: Connection): <T>(use: (connection: Connection) => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (use) => {
    const turn = last.then(() => use(connection));
    last = turn.catch(() => undefined);
    return turn;
  };
}

/** Progress by the share of a table's bytes that its finished ranges stand for. */
class Progress {
  readonly #request: SnapshotRequest;
  readonly #totalBytes: number;
  #doneBytes = 0;
  #copyBytes = 0;
  #rows = 0n;

  constructor(request: SnapshotRequest, totalBytes: number) {
    this.#request = request;
    this.#totalBytes = totalBytes;
  }

  received(bytes: number): void {
    this.#copyBytes += bytes;
  }

  ended(range: PlannedRange, copied: CopiedRange): void {
    this.#doneBytes += share(range.table);
    this.#rows += copied.rows;
    this.#request.onEvent({
      kind: 'progress',
      doneBytes: Math.round(this.#doneBytes),
      totalBytes: this.#totalBytes,
      copyBytes: this.#copyBytes,
      rows: this.#rows,
    });
  }
}

function share(table: PlannedTable): number {
  return Number(table.size.totalBytes) / table.ranges.length;
}
