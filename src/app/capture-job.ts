import { runCapture } from '../capture/capture.ts';
import type { CaptureEvent } from '../capture/events.ts';
import { LIMITS } from '../capture/machine.ts';
import { checkRecipients } from '../catalog/repository.ts';
import { Failure } from '../model/failure.ts';
import { captureNames } from '../model/capture-names.ts';
import { parseLsn } from '../model/lsn.ts';
import { parseSize } from '../model/quantities.ts';
import { withRepository } from './list-job.ts';
import { PROGRAM } from './program.ts';
import type { Settings } from './settings.ts';

interface CaptureJobOptions {
  readonly flush?: number;
  readonly maxSlotLag?: number;
  readonly until?: string;
}

interface CaptureRun extends CaptureJobOptions {
  readonly onEvent: (event: CaptureEvent) => void;
  readonly signal: AbortSignal;
}

/** Captures until it is told to stop. */
export async function captureJob(settings: Settings, run: CaptureRun): Promise<void> {
  const source = settings.captureSource();
  const sealer = settings.sealer();
  const until = run.until === undefined ? undefined : parseLsn(run.until);
  if (run.until !== undefined && until === undefined)
    throw new Failure('usage.invalid', '--until takes a WAL position like 16/B374D848');
  const slotLimit =
    run.maxSlotLag === undefined ? slotLimitOf(settings.config.capture?.maxSlotLag) : BigInt(run.maxSlotLag);
  // What is on its way when a stop is asked for is still stored: the store must not hear of it.
  const { signal } = new AbortController();
  await withRepository(settings, signal, async (repository) => {
    checkRecipients(repository, sealer?.fingerprints ?? []);
    await runCapture({
      settings: source,
      names: captureNames(settings.sourceName, repository.document.repositoryId),
      repository,
      source: settings.sourceName,
      sealer,
      limits: {
        ...LIMITS,
        ...(run.flush !== undefined && { flushMs: run.flush }),
        silenceMs: source.silenceMs,
      },
      slotLimit,
      until,
      program: PROGRAM,
      onEvent: run.onEvent,
      stop: run.signal,
    });
  });
}

/** Bytes, of `capture.maxSlotLag`. Fails with `config.invalid`. */
export function slotLimitOf(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  const bytes = parseSize(text);
  if (bytes === undefined) throw new Failure('config.invalid', 'capture.maxSlotLag takes a size like 2GB');
  return BigInt(bytes);
}
