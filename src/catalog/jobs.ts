import { jobBegunSchema, jobEndedSchema } from '../archive/job-documents.ts';
import type { JobBegun, JobEnded } from '../archive/job-documents.ts';
import { Failure, asFailure } from '../model/failure.ts';
import { encodeDocument, putDocument, readDocument } from './documents.ts';
import { isSnapshotId, newId } from './ids.ts';
import { keys } from './keys.ts';
import type { JobFolder } from './keys.ts';
import type { Repository } from './repository.ts';
import { isNotAuthentic } from './signatures.ts';

interface CallOptions {
  readonly signal: AbortSignal;
}

/** One attempt at what a schedule asks for. */
export interface Job {
  readonly begun: JobBegun;
  readonly ended: JobEnded | undefined;
}

/** Before anything is done: where its end is missing, a kill is noticed. */
export function publishJobBegun(repository: Repository, job: JobBegun, options: CallOptions): Promise<void> {
  return publish(repository, keys.jobBegun(job, job.id), jobBegunSchema.parse(job), options);
}

export function publishJobEnded(
  repository: Repository,
  at: JobFolder,
  job: JobEnded,
  options: CallOptions,
): Promise<void> {
  return publish(repository, keys.jobEnded(at, job.id), jobEndedSchema.parse(job), options);
}

/** A schedule's last jobs are looked for among the newest ones first; without any there, among all. */
const LATELY_MS = 40 * 24 * 3_600_000;
/** A job that has failed for so often has told enough. */
const MOST = 50;

/**
 * The newest jobs of a schedule, newest first, back to the last one that was done. What no trusted key signed is passed
 * over: who can write there could also have removed it, and must not be able to stop backups with it.
 */
export async function readLastJobs(
  repository: Repository,
  at: JobFolder,
  { signal }: CallOptions,
): Promise<Job[]> {
  const lately = newId(new Date(Date.now() - LATELY_MS));
  const ids = await listIds(repository, at, { after: lately, signal });
  if (ids.length === 0) ids.push(...(await listIds(repository, at, { after: undefined, signal })));
  const found: Job[] = [];
  for (const id of ids.reverse().slice(0, MOST)) {
    const begun = await read(repository, keys.jobBegun(at, id), { schema: jobBegunSchema, signal });
    if (begun === undefined) continue;
    if (begun.source !== at.source || begun.schedule !== at.schedule || begun.id !== id)
      throw new Failure('integrity.format', `${keys.jobBegun(at, id)} is of another schedule`);
    const ended = await read(repository, keys.jobEnded(at, id), { schema: jobEndedSchema, signal });
    found.push({ begun, ended });
    if (ended?.outcome === 'done') break;
  }
  return found;
}

async function listIds(
  { store }: Repository,
  at: JobFolder,
  { after, signal }: CallOptions & { readonly after: string | undefined },
): Promise<string[]> {
  const prefix = keys.jobs(at);
  const options = { signal, after: after === undefined ? undefined : prefix + after };
  const ids: string[] = [];
  for await (const { key } of store.list(prefix, options)) {
    const id = /^([^/]+)\.begun\.json$/.exec(key.slice(prefix.length))?.[1];
    if (id !== undefined && isSnapshotId(id)) ids.push(id);
  }
  return ids;
}

async function publish(
  { store, signer }: Repository,
  key: string,
  document: unknown,
  { signal }: CallOptions,
): Promise<void> {
  await putDocument(store, { key, bytes: encodeDocument(document) }, { signer, signal });
}

async function read<T>(
  { store, trust }: Repository,
  key: string,
  options: Omit<Parameters<typeof readDocument<T>>[2], 'trust'>,
): Promise<T | undefined> {
  try {
    return (await readDocument(store, key, { ...options, trust }))?.document;
  } catch (error) {
    if (isNotAuthentic(asFailure(error))) return undefined;
    throw error;
  }
}
