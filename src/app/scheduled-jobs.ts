import { Failure } from '../model/failure.ts';
import { verifyJob } from './check-jobs.ts';
import type { Schedule } from './config-unattended.ts';
import { pruneJob } from './prune-job.ts';
import type { Settings } from './settings.ts';
import { snapshotJob } from './snapshot-job.ts';

/** What a job has come to. */
export interface JobResult {
  readonly snapshot?: string;
}

/** Does what a schedule asks for, in the repository of `settings`. Fails as that job does. */
export async function runJob(
  settings: Settings,
  schedule: Schedule,
  signal: AbortSignal,
): Promise<JobResult> {
  switch (schedule.job) {
    case 'snapshot':
      return takeScheduled(settings, schedule, signal);
    case 'verify':
      return verifyScheduled(settings, schedule, signal);
    case 'prune':
      await pruneJob(settings, { signal });
      return {};
  }
}

type Of<Job extends Schedule['job']> = Extract<Schedule, { job: Job }>;

async function takeScheduled(
  settings: Settings,
  schedule: Of<'snapshot'>,
  signal: AbortSignal,
): Promise<JobResult> {
  const { manifest } = await snapshotJob(settings, {
    engine: schedule.engine,
    format: 'text',
    ...(schedule.jobs !== undefined && { jobs: schedule.jobs }),
    table: [],
    schema: [],
    exclude: [],
    largeObjects: true,
    witness: schedule.witness,
    onEvent: () => undefined,
    onCreated: () => undefined,
    signal,
  });
  return { snapshot: manifest.id };
}

async function verifyScheduled(
  settings: Settings,
  { deep }: Of<'verify'>,
  signal: AbortSignal,
): Promise<JobResult> {
  const quiet = { onSnapshot: () => undefined, onProgress: () => undefined };
  const { reports, streams } = await verifyJob(settings, { target: undefined, deep, signal, ...quiet });
  const broken = [...reports, ...streams].filter(({ findings }) =>
    findings.some(({ level }) => level === 'error'),
  );
  const [first] = broken.flatMap(({ findings }) => findings.filter(({ level }) => level === 'error'));
  if (first === undefined) return {};
  throw new Failure(
    'integrity.digest',
    `${broken.length} snapshot(s) or stream(s) are broken: ${first.message}`,
    {
      remedy: 'run `tidemark verify` to see all of it',
    },
  );
}
