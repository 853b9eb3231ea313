import { availableParallelism } from 'node:os';
import type { Compression, Manifest } from '../archive/manifest.ts';
import { checkRecipients, ensureRepository } from '../catalog/repository.ts';
import { Failure } from '../model/failure.ts';
import type { SnapshotPlan } from '../snapshot/plan.ts';
import { previewSnapshot } from '../snapshot/preview.ts';
import type { SnapshotEvent } from '../snapshot/request.ts';
import type { Selection } from '../snapshot/select.ts';
import { takeSnapshot } from '../snapshot/take-snapshot.ts';
import { PROGRAM } from './program.ts';
import { openOthers } from './repositories.ts';
import type { Settings } from './settings.ts';

export interface SnapshotJobOptions {
  readonly engine: 'copy' | 'pg_dump';
  readonly format: 'text' | 'binary';
  readonly compression?: Compression;
  readonly jobs?: number;
  readonly table: readonly string[];
  readonly schema: readonly string[];
  readonly exclude: readonly string[];
  readonly largeObjects: boolean;
  readonly witness?: boolean;
  readonly lockTimeout?: number;
  readonly giveWayAfter?: number;
  readonly archiveSize?: number;
  readonly staging?: string;
}

const LOCK_TIMEOUT_MS = 5000;
/** P7: locks give way when someone waits behind them for 10 s. */
const GIVE_WAY_AFTER_MS = 10_000;
const ARCHIVE_BYTES = 4 * 1024 ** 3;

interface JobRun extends SnapshotJobOptions {
  readonly signal: AbortSignal;
  readonly onEvent: (event: SnapshotEvent) => void;
  readonly onCreated: (location: string) => void;
  /** It may hold the changes that follow: then the snapshot can't be brought forward. */
  readonly onUnreadable?: (location: string, failure: Failure) => void;
}

/** Takes a snapshot as configured; makes the repository when there is none. */
export async function snapshotJob(
  settings: Settings,
  run: JobRun,
): Promise<{ readonly manifest: Manifest; readonly milliseconds: number }> {
  const started = performance.now();
  const staging = stagingOf(settings, run);
  const source = settings.source();
  const sealer = settings.sealer();
  const signing = await settings.signing();
  const tools = await settings.tools(run.signal);
  const store = await settings.store();
  try {
    const fingerprints = sealer?.fingerprints ?? [];
    const { repository, created } = await ensureRepository(store, {
      recipientFingerprints: fingerprints,
      program: PROGRAM,
      ...signing,
      signal: run.signal,
    });
    if (created) run.onCreated(store.location);
    checkRecipients(repository, fingerprints);
    await using others = await openOthers(settings, {
      except: store.location,
      onUnreadable: run.onUnreadable,
      signal: run.signal,
    });
    const manifest = await takeSnapshot({
      source: settings.sourceName,
      engine: run.engine,
      settings: source,
      repository,
      others: others.repositories,
      selection: selectionOf(settings, run),
      jobs: run.jobs ?? settings.config.snapshot?.jobs ?? defaultJobs(),
      format: run.format,
      compression: run.compression ?? settings.config.snapshot?.compression ?? 'zstd',
      sealer,
      largeObjects: run.largeObjects,
      witness: run.witness ?? false,
      tools,
      lockTimeoutMs: run.lockTimeout ?? LOCK_TIMEOUT_MS,
      patienceMs: run.giveWayAfter ?? GIVE_WAY_AFTER_MS,
      rollBytes: run.archiveSize ?? ARCHIVE_BYTES,
      staging,
      program: PROGRAM,
      onEvent: run.onEvent,
      signal: run.signal,
    });
    return { manifest, milliseconds: performance.now() - started };
  } finally {
    await store.close();
  }
}

/** What a snapshot would copy. Takes no lock and writes nothing. */
export function planSnapshotJob(
  settings: Settings,
  run: SnapshotJobOptions & { readonly signal: AbortSignal },
): Promise<{ readonly plan: SnapshotPlan; readonly server: string }> {
  return previewSnapshot({
    settings: settings.source(),
    selection: selectionOf(settings, run),
    jobs: run.jobs ?? settings.config.snapshot?.jobs ?? defaultJobs(),
    signal: run.signal,
  });
}

/** Where temporary plaintext may lie. Engine copy makes none, so that it has no use for a folder. */
function stagingOf(settings: Settings, run: SnapshotJobOptions): string | undefined {
  if (run.engine === 'pg_dump') return run.staging ?? settings.config.staging;
  if (run.staging === undefined) return undefined;
  throw new Failure(
    'usage.invalid',
    '--staging is for --engine pg_dump: engine copy makes no temporary files',
  );
}

/** One for each core, within reason: the server works as hard as we do. */
function defaultJobs(): number {
  return Math.min(8, Math.max(2, availableParallelism()));
}

/** Patterns of the command line replace those of the configuration. */
function selectionOf(settings: Settings, run: SnapshotJobOptions): Selection {
  if (run.table.length + run.schema.length + run.exclude.length > 0) {
    return { tables: run.table, schemas: run.schema, exclude: run.exclude };
  }
  const source = settings.config.sources?.[settings.sourceName];
  return { tables: source?.tables ?? [], schemas: source?.schemas ?? [], exclude: source?.exclude ?? [] };
}
