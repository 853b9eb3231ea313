import type { Finding } from '../model/finding.ts';
import { asFailure } from '../model/failure.ts';
import { scheduleFindings } from '../monitor/judge-schedules.ts';
import { CronRule } from '../schedule/cron-rule.ts';
import { failuresInARow } from '../schedule/decide-run.ts';
import { NOTIFY } from './config-unattended.ts';
import type { Schedule } from './config-unattended.ts';
import { lastJobs, pastRun } from './job-history.ts';
import type { Settings } from './settings.ts';

export interface ListedSchedule {
  readonly name: string;
  readonly job: string;
  readonly cron: string;
  readonly timezone: string;
  /** The newest attempt. `begun`: it is under way, or was killed. */
  readonly last:
    | {
        readonly outcome: 'done' | 'failed' | 'interrupted' | 'begun';
        readonly startedAt: string;
        readonly endedAt: string | undefined;
        readonly snapshot: string | undefined;
        readonly code: string | undefined;
      }
    | undefined;
  /** Since the last one that was done. */
  readonly failures: number;
  readonly next: string | undefined;
}

/** What the schedules of the configuration have come to, each by its own repository, and what is wrong with them. */
export async function listSchedules(
  settings: Settings,
  signal: AbortSignal,
): Promise<{ readonly schedules: readonly ListedSchedule[]; readonly findings: readonly Finding[] }> {
  const schedules: ListedSchedule[] = [];
  const findings: Finding[] = [];
  for (const schedule of settings.config.schedules ?? []) {
    try {
      const found = await listSchedule(settings, schedule, signal);
      schedules.push(found.listed);
      findings.push(...found.findings);
    } catch (error) {
      const { message, remedy } = asFailure(error);
      findings.push({
        level: 'error',
        check: 'status.schedule',
        message: `${schedule.name}: what was done can't be read: ${message}`,
        remedy,
      });
    }
  }
  if (settings.config.notify !== undefined) findings.push(...(await notifyFindings(settings, signal)));
  return { schedules, findings };
}

async function listSchedule(
  settings: Settings,
  schedule: Schedule,
  signal: AbortSignal,
): Promise<{ readonly listed: ListedSchedule; readonly findings: readonly Finding[] }> {
  const { name, job, cron, timezone, repository, retry } = schedule;
  const own = settings.forSchedule({ repository, storageClass: undefined });
  const jobs = await lastJobs(own, name, signal);
  const runs = jobs.map(pastRun).reverse();
  const rule = new CronRule(cron, timezone);
  const now = Date.now();
  const next = rule.nextDue(now);
  const [last] = jobs;
  return {
    listed: {
      name,
      job,
      cron,
      timezone,
      last: last && {
        outcome: last.ended?.outcome ?? 'begun',
        startedAt: last.begun.startedAt,
        endedAt: last.ended?.endedAt,
        snapshot: last.ended?.snapshot,
        code: last.ended?.code,
      },
      failures: failuresInARow(runs.filter(({ end }) => end !== undefined)),
      next: next === undefined ? undefined : new Date(next).toISOString(),
    },
    findings: scheduleFindings(
      { name, runs, due: rule.latestDue(now), retries: retry, startsAtOnce: job === 'snapshot' },
      now,
    ),
  };
}

async function notifyFindings(settings: Settings, signal: AbortSignal): Promise<Finding[]> {
  const [last] = await lastJobs(settings, NOTIFY, signal);
  if (last?.ended?.outcome !== 'failed') return [];
  return [
    {
      level: 'warning',
      check: 'status.notify',
      message: `a notice could not be sent at ${last.ended.endedAt}`,
      remedy: 'try `tidemark alert --test`',
    },
  ];
}
