import { runCapture } from '../capture/capture.ts';
import type { CaptureEvent } from '../capture/events.ts';
import { LIMITS } from '../capture/machine.ts';
import { checkRecipients, openRepository } from '../catalog/repository.ts';
import { Failure } from '../model/failure.ts';
import { captureNames } from '../model/capture-names.ts';
import { parseLsn } from '../model/lsn.ts';
import { parseDuration, parseSize } from '../model/quantities.ts';
import type { Config } from './config.ts';
import { PROGRAM } from './program.ts';
import { GapFollower } from './resnapshot.ts';
import type { Exclusively, FollowUpEvent } from './resnapshot.ts';
import type { Settings } from './settings.ts';

interface CaptureJobOptions {
  readonly flush?: number;
  readonly maxSlotLag?: number;
  readonly until?: string;
  readonly resnapshot?: boolean;
}

interface CaptureRun extends CaptureJobOptions {
  readonly onEvent: (event: CaptureEvent | FollowUpEvent) => void;
  /** Keeps the snapshots that gaps ask for apart from others of this process. */
  readonly exclusively?: Exclusively;
  readonly signal: AbortSignal;
}

/** Captures until it is told to stop; with `resnapshot`, gaps are followed by snapshots meanwhile. */
export async function captureJob(settings: Settings, run: CaptureRun): Promise<void> {
  const source = settings.captureSource();
  const sealer = settings.sealer();
  const until = run.until === undefined ? undefined : parseLsn(run.until);
  if (run.until !== undefined && until === undefined)
    throw new Failure('usage.invalid', '--until takes a WAL position like 16/B374D848');
  const { capture } = settings.config;
  const slotLimit = run.maxSlotLag === undefined ? slotLimitOf(settings.config) : BigInt(run.maxSlotLag);
  const flush = run.flush ?? (capture?.flush === undefined ? undefined : parseDuration(capture.flush));
  const store = await settings.store();
  const over = new AbortController();
  try {
    // What is on its way when a stop is asked for is still stored: the store must not hear of it.
    const { signal } = new AbortController();
    const repository = await openRepository(store, { ...(await settings.signing()), signal });
    checkRecipients(repository, sealer?.fingerprints ?? []);
    const follower =
      run.resnapshot === true
        ? new GapFollower({
            settings,
            repository,
            onEvent: run.onEvent,
            exclusively: run.exclusively ?? ((act) => act()),
            signal: AbortSignal.any([run.signal, over.signal]),
          })
        : undefined;
    const following = follower?.run();
    try {
      await runCapture({
        settings: source,
        names: captureNames(settings.sourceName, repository.document.repositoryId),
        repository,
        source: settings.sourceName,
        sealer,
        limits: {
          ...LIMITS,
          ...(flush !== undefined && { flushMs: flush }),
          silenceMs: source.silenceMs,
        },
        slotLimit,
        until,
        program: PROGRAM,
        onEvent: (event) => {
          run.onEvent(event);
          if (event.kind === 'snapshot-wanted') follower?.wake(event.gap);
          if (event.kind === 'streaming') follower?.wake();
        },
        stop: run.signal,
      });
    } finally {
      over.abort(new Failure('interrupted', 'capture has ended'));
      await following;
    }
  } finally {
    await store.close();
  }
}

/** Bytes, of `capture.maxSlotLag`. */
export function slotLimitOf({ capture }: Config): bigint | undefined {
  const bytes = capture?.maxSlotLag === undefined ? undefined : parseSize(capture.maxSlotLag);
  return bytes === undefined ? undefined : BigInt(bytes);
}
