import type { JobBegun, JobEnded } from '../archive/job-documents.ts';
import { FORMAT_VERSION } from '../archive/manifest.ts';
import { newIdAfter } from '../catalog/ids.ts';
import { publishJobBegun, publishJobEnded, readLastJobs } from '../catalog/jobs.ts';
import type { Job } from '../catalog/jobs.ts';
import { ensureRepository, findRepository, openRepository } from '../catalog/repository.ts';
import type { Repository } from '../catalog/repository.ts';
import type { PastRun, RunReason } from '../schedule/decide-run.ts';
import { PROGRAM } from './program.ts';
import type { Settings } from './settings.ts';

type Attempt = Pick<JobBegun, 'job' | 'attempt'> & { readonly dueAt: number; readonly reason: RunReason };
export type AttemptEnd = Pick<JobEnded, 'outcome' | 'snapshot' | 'code'>;

/** An end is told also when the job was stopped. */
const PATIENCE_MS = 20_000;

/** What a schedule has done, as the repository tells and as this process has seen where the repository could not be told. */
export class JobHistory {
  readonly #settings: Settings;
  readonly #schedule: string;
  #last: string | undefined;
  #runs: PastRun[] = [];
  /** Ends that are not stored yet. */
  readonly #owed: JobEnded[] = [];

  constructor(settings: Settings, schedule: string) {
    this.#settings = settings;
    this.#schedule = schedule;
  }

  /** Oldest first, from the last one that was done on. */
  get runs(): readonly PastRun[] {
    return this.#runs;
  }

  /** Reads it anew. A repository that is not there yet has no history. */
  async load(signal: AbortSignal): Promise<void> {
    const jobs = await lastJobs(this.#settings, this.#schedule, signal);
    this.#last = jobs[0]?.begun.id;
    this.#runs = jobs.map(pastRun).reverse();
  }

  /** Before anything is done. What can't be stored is remembered all the same, and fails then. */
  async begin(attempt: Attempt, signal: AbortSignal): Promise<string> {
    const now = new Date();
    const id = newIdAfter(now, this.#last);
    this.#last = id;
    this.#runs.push({ dueAt: attempt.dueAt, startedAt: now.getTime(), end: undefined });
    const begun: JobBegun = {
      formatVersion: FORMAT_VERSION,
      kind: 'tidemark-job-begun',
      id,
      source: this.#settings.sourceName,
      schedule: this.#schedule,
      job: attempt.job,
      reason: attempt.reason,
      dueAt: new Date(attempt.dueAt).toISOString(),
      attempt: attempt.attempt,
      startedAt: now.toISOString(),
    };
    await this.#write(attempt.job === 'snapshot', signal, (repository) =>
      publishJobBegun(repository, begun, { signal }),
    );
    return id;
  }

  /** Of the last one that was begun. `id`: undefined where its beginning could not be stored. Never fails. */
  async end(id: string | undefined, { outcome, snapshot, code }: AttemptEnd): Promise<void> {
    const now = new Date();
    const run = this.#runs.at(-1);
    if (run !== undefined)
      this.#runs[this.#runs.length - 1] = { ...run, end: { at: now.getTime(), outcome, code } };
    if (outcome === 'done') this.#runs = this.#runs.slice(-1);
    if (id === undefined) return;
    this.#owed.push({
      formatVersion: FORMAT_VERSION,
      kind: 'tidemark-job-ended',
      id,
      source: this.#settings.sourceName,
      outcome,
      endedAt: now.toISOString(),
      ...(snapshot !== undefined && { snapshot }),
      ...(code !== undefined && { code }),
    });
    await this.settle();
  }

  /** Stores what could not be stored before. Never fails: it is tried again. */
  async settle(): Promise<void> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const at = { source: this.#settings.sourceName, schedule: this.#schedule };
    try {
      for (let owed = this.#owed[0]; owed !== undefined; owed = this.#owed[0]) {
        const document = owed;
        await this.#write(false, signal, (repository) =>
          publishJobEnded(repository, at, document, { signal }),
        );
        this.#owed.shift();
      }
    } catch {
      // The job itself has told already whether the repository could be reached.
    }
  }

  /** A first snapshot makes its repository; nothing may stand in it before. */
  async #write(
    make: boolean,
    signal: AbortSignal,
    act: (repository: Repository) => Promise<void>,
  ): Promise<void> {
    const settings = this.#settings;
    const signing = await settings.signing();
    const store = await settings.store();
    try {
      const recipientFingerprints = settings.sealer()?.fingerprints ?? [];
      const options = { recipientFingerprints, program: PROGRAM, ...signing, signal };
      await act(
        make ? (await ensureRepository(store, options)).repository : await openRepository(store, options),
      );
    } finally {
      await store.close();
    }
  }
}

/** The newest jobs of a schedule, newest first, back to the last one that was done. */
export async function lastJobs(settings: Settings, schedule: string, signal: AbortSignal): Promise<Job[]> {
  const store = await settings.store();
  try {
    const repository = await findRepository(store, { signer: undefined, trust: settings.trust(), signal });
    if (repository === undefined) return [];
    return await readLastJobs(repository, { source: settings.sourceName, schedule }, { signal });
  } finally {
    await store.close();
  }
}

export function pastRun({ begun, ended }: Job): PastRun {
  return {
    dueAt: Date.parse(begun.dueAt),
    startedAt: Date.parse(begun.startedAt),
    end: ended && { at: Date.parse(ended.endedAt), outcome: ended.outcome, code: ended.code },
  };
}
