import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import type { JobBegun, JobEnded } from '../../../src/archive/job-documents.ts';
import { createSigner, createTrust } from '../../../src/archive/signature.ts';
import { newId } from '../../../src/catalog/ids.ts';
import { publishJobBegun, publishJobEnded, readLastJobs } from '../../../src/catalog/jobs.ts';
import { keys } from '../../../src/catalog/keys.ts';
import { ensureRepository } from '../../../src/catalog/repository.ts';
import type { Repository } from '../../../src/catalog/repository.ts';
import { createMemoryStore } from '../../../src/storage/memory.ts';

const { signal } = new AbortController();
const newSigner = () =>
  createSigner(
    generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    'test.pem',
  );
const signer = newSigner();
const at = { source: 'main', schedule: 'daily' };
const HOUR = 3_600_000;

function opened(): Promise<{ repository: Repository }> {
  const trust = createTrust([signer.publicKey]);
  const options = { signer, trust, recipientFingerprints: [], program: 'test', signal };
  return ensureRepository(createMemoryStore(), options);
}

function begun(time: number, schedule = 'daily'): JobBegun {
  const iso = new Date(time).toISOString();
  const when = { dueAt: iso, startedAt: iso, reason: 'scheduled', attempt: 1 } as const;
  const id = newId(new Date(time));
  return {
    formatVersion: 1,
    kind: 'tidemark-job-begun',
    id,
    source: 'main',
    schedule,
    job: 'snapshot',
    ...when,
  };
}

function ended({ id }: JobBegun, outcome: JobEnded['outcome']): JobEnded {
  const endedAt = new Date().toISOString();
  return { formatVersion: 1, kind: 'tidemark-job-ended', id, source: 'main', outcome, endedAt };
}

async function publish(
  repository: Repository,
  time: number,
  outcome?: JobEnded['outcome'],
): Promise<JobBegun> {
  const job = begun(time);
  await publishJobBegun(repository, job, { signal });
  if (outcome !== undefined) await publishJobEnded(repository, at, ended(job, outcome), { signal });
  return job;
}

test('the newest jobs of a schedule, back to the last one that was done', async () => {
  const { repository } = await opened();
  const now = Date.now();
  await publish(repository, now - 4 * HOUR, 'failed');
  const done = await publish(repository, now - 3 * HOUR, 'done');
  const failed = await publish(repository, now - 2 * HOUR, 'failed');
  const killed = await publish(repository, now - HOUR);
  await publishJobBegun(repository, begun(now, 'weekly'), { signal });
  const jobs = await readLastJobs(repository, at, { signal });
  expect(jobs.map((job) => [job.begun.id, job.ended?.outcome])).toEqual([
    [killed.id, undefined],
    [failed.id, 'failed'],
    [done.id, 'done'],
  ]);
});

test('what was done a year ago is found, too', async () => {
  const { repository } = await opened();
  const { id } = await publish(repository, Date.now() - 365 * 24 * HOUR, 'done');
  expect(await readLastJobs(repository, at, { signal })).toMatchObject([{ begun: { id } }]);
});

test('a stranger can’t make a job look done', async () => {
  const { repository } = await opened();
  const mine = await publish(repository, Date.now() - 2 * HOUR, 'failed');
  const stranger = { ...repository, signer: newSigner() };
  await publish(stranger, Date.now() - HOUR, 'done');
  await publish({ ...repository, signer: undefined }, Date.now(), 'done');
  const jobs = await readLastJobs(repository, at, { signal });
  expect(jobs.map((job) => job.begun.id)).toEqual([mine.id]);
  expect(await repository.store.stat(keys.signature(keys.jobBegun(at, mine.id)), { signal })).toBeDefined();
});
