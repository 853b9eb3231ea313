import { printSetUp } from '../capture/set-up/print-set-up.ts';
import { printRemoval, removeSource } from '../capture/set-up/remove-source.ts';
import type { RemovalReport } from '../capture/set-up/remove-source.ts';
import { setUpSource } from '../capture/set-up/set-up-source.ts';
import type { SetUpReport } from '../capture/set-up/set-up-source.ts';
import { createSealer } from '../archive/age.ts';
import { keys } from '../catalog/keys.ts';
import { makeStoredIdentity } from '../catalog/stored-identity.ts';
import { Failure } from '../model/failure.ts';
import { checkRecipients, ensureRepository } from '../catalog/repository.ts';
import { captureNames } from '../model/capture-names.ts';
import type { CaptureNames } from '../model/capture-names.ts';
import { withRepository } from './list-job.ts';
import { PROGRAM } from './program.ts';
import type { Settings } from './settings.ts';

/** How long init waits for transactions that hold up the slot. */
const PATIENCE_MS = 60_000;

export interface MadeRepository {
  readonly location: string;
  readonly created: boolean;
  readonly repositoryId: string;
}

/** Makes the repository, or says that it is there. */
export async function initJob(settings: Settings, signal: AbortSignal): Promise<MadeRepository> {
  const signing = await settings.signing();
  const store = await settings.store();
  try {
    const recipientFingerprints = settings.sealer()?.fingerprints ?? [];
    const { repository, created } = await ensureRepository(store, {
      recipientFingerprints,
      program: PROGRAM,
      ...signing,
      signal,
    });
    checkRecipients(repository, recipientFingerprints);
    return { location: store.location, created, repositoryId: repository.document.repositoryId };
  } finally {
    await store.close();
  }
}

/**
 * Makes a repository whose private key lies in it, under the passphrase of the environment. Only a new one: what an old
 * one is encrypted to is settled. The recipient is to be written into the configuration, where writers take it from.
 */
export async function initWithIdentityJob(
  settings: Settings,
  signal: AbortSignal,
): Promise<MadeRepository & { readonly recipient: string }> {
  const passphrase = settings.passphrase();
  if (passphrase === undefined)
    throw new Failure('key.missing', 'the passphrase is not given', {
      remedy: 'set TIDEMARK_PASSPHRASE, and keep it where the backups are not',
    });
  const signing = await settings.signing();
  const store = await settings.store();
  try {
    if ((await store.stat(keys.repository, { signal })) !== undefined)
      throw new Failure('config.invalid', 'the repository is there already: its recipients are settled', {
        remedy: 'make another repository with --identity, or name a recipient in encryption.recipients',
      });
    const recipient = await makeStoredIdentity(store, passphrase, { signal });
    const own = settings.sealer()?.fingerprints ?? [];
    const recipientFingerprints = [...own, ...createSealer([recipient]).fingerprints].sort();
    const { repository, created } = await ensureRepository(store, {
      recipientFingerprints,
      program: PROGRAM,
      ...signing,
      signal,
    });
    const { repositoryId } = repository.document;
    return { location: store.location, created, repositoryId, recipient };
  } finally {
    await store.close();
  }
}

interface SetUpRun {
  readonly patience?: number;
  readonly onNote: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Makes the repository where there is none, and sets the source up for change capture. */
export async function setUpCaptureJob(
  settings: Settings,
  run: SetUpRun,
): Promise<{
  readonly repository: MadeRepository;
  readonly names: CaptureNames;
  readonly report: SetUpReport;
}> {
  const source = settings.captureSource();
  const repository = await initJob(settings, run.signal);
  const names = captureNames(settings.sourceName, repository.repositoryId);
  const report = await setUpSource({
    settings: source,
    names,
    patienceMs: run.patience ?? PATIENCE_MS,
    onNote: run.onNote,
    signal: run.signal,
  });
  return { repository, names, report };
}

/** Removes from the source what the set-up made there; the repository stays as it is. */
export async function removeCaptureJob(
  settings: Settings,
  signal: AbortSignal,
): Promise<{ readonly names: CaptureNames; readonly report: RemovalReport }> {
  const names = await namesIn(settings, signal);
  return { names, report: await removeSource({ settings: settings.captureSource(), names, signal }) };
}

/** What either would do, as SQL for psql. Nothing is changed on the source. */
export async function printCaptureSqlJob(
  settings: Settings,
  options: { readonly remove: boolean; readonly signal: AbortSignal },
): Promise<{ readonly names: CaptureNames; readonly sql: string; readonly steps: readonly string[] }> {
  const { signal } = options;
  const source = settings.captureSource();
  if (!options.remove) await initJob(settings, signal);
  const names = await namesIn(settings, signal);
  const request = { settings: source, names, signal };
  const { sql, steps } = options.remove ? await printRemoval(request) : await printSetUp(request);
  return { names, sql, steps: steps.map((step) => step.title) };
}

function namesIn(settings: Settings, signal: AbortSignal): Promise<CaptureNames> {
  return withRepository(settings, signal, async (repository) =>
    captureNames(settings.sourceName, repository.document.repositoryId),
  );
}
