import type { Command } from 'commander';
import type { StatusReport } from '../../app/status-job.ts';
import { statusJob } from '../../app/status-job.ts';
import { FAILURE_CODES } from '../../model/failure-codes.ts';
import { formatLsn } from '../../model/lsn.ts';
import { formatBytes, formatDuration } from '../../model/quantities.ts';
import type { CommandContext } from '../context.ts';
import { NOT_AUTHENTICATED, findingLine } from '../terminal.ts';

export function addStatusCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('status')
    .description('how well the source is protected just now; exit 3 when something is wrong');
  run.action(command, async ({ settings, terminal, signal }) => {
    const report = await statusJob(settings, signal);
    const authenticated = settings.trust() !== undefined;
    terminal.result({ ...documentOf(report), authenticated }, [
      ...linesOf(report),
      ...(authenticated ? [] : [NOT_AUTHENTICATED]),
    ]);
    if (!report.status.isProtected) process.exitCode = FAILURE_CODES['check.findings'].exit;
  });
}

/** The stable document: numbers in seconds and bytes; null where something is not known. */
function documentOf(report: StatusReport): Record<string, unknown> {
  const { status, stream } = report;
  const { slot, lag, newest } = status;
  return {
    ok: status.isProtected,
    source: report.source,
    repository: report.repository,
    repositories: report.repositories,
    absent: report.absent,
    sourceReached: report.sourceReached,
    stream: stream ?? null,
    tidemark: stream?.to ?? null,
    lag: lag === undefined ? null : { bytes: lag.bytes, seconds: seconds(lag.ms) },
    rpo: { seconds: seconds(status.rpoMs) },
    slot: {
      name: report.slotName,
      exists: report.sourceReached ? slot !== undefined : null,
      ...(slot !== undefined && {
        active: slot.activePid !== undefined,
        activePid: slot.activePid ?? null,
        lost: slot.lost,
        walStatus: slot.walStatus,
        confirmedFlushLsn: formatLsn(slot.confirmed),
        restartLsn: formatLsn(slot.restart),
        ownLagBytes: slot.own,
        pinnedLagBytes: slot.pinned,
        safeWalBytes: slot.safeBytes ?? null,
        secondsLeft: slot.secondsLeft === undefined ? null : Math.round(slot.secondsLeft),
      }),
    },
    windows: report.windows,
    ownWindows: report.ownWindows,
    gaps: report.gaps,
    ddl: stream?.ddl ?? null,
    snapshots: {
      newest: newest === undefined ? null : { id: newest.id, ageSeconds: seconds(newest.ageMs) },
      waiting: status.waiting,
    },
    schedules: report.schedules,
    findings: status.findings,
  };
}

function linesOf(report: StatusReport): string[] {
  const { status, stream } = report;
  const { lag, newest, waiting } = status;
  const bad = status.findings.filter(({ level }) => level === 'error' || level === 'warning').length;
  return [
    status.isProtected
      ? `PROTECTED  ${report.source}`
      : `NOT PROTECTED  ${report.source}: ${bad} finding(s) below`,
    `RPO now    ${status.rpoMs === undefined ? 'no change is stored' : `${formatDuration(status.rpoMs)} since the latest stored commit (${stream?.latestCommitTime})`}`,
    `tidemark   ${stream === undefined ? 'no change stream' : `${stream.to} of stream ${stream.id}`}`,
    `lag        ${lag === undefined ? 'not known' : `${formatBytes(lag.bytes)} of WAL${lag.ms === undefined ? '' : `, ${formatDuration(lag.ms)}`}`}`,
    `slot       ${slotText(report)}`,
    `windows    ${windowText(report)}`,
    ...(report.repositories.length < 2
      ? []
      : report.repositories.map(
          (repository) =>
            `           of ${repository} alone: ${windowText({ windows: report.ownWindows.filter((window) => window.repository === repository) })}`,
        )),
    ...report.absent.map((location) => `           no repository at ${location}, where one is configured`),
    `gaps       ${gapText(report)}`,
    `DDL        ${stream?.ddl ?? 'nothing recorded'}`,
    `snapshot   ${newest === undefined ? 'none' : `${newest.id}, ${formatDuration(newest.ageMs)} old`}${waiting.length === 0 ? '' : `; ${waiting.length} wait(s) for capture to pass`}`,
    ...report.schedules.map((schedule) => `schedule   ${scheduleText(schedule)}`),
    ...status.findings.map(findingLine),
  ];
}

function scheduleText({ name, job, last, failures, next }: StatusReport['schedules'][number]): string {
  const how =
    last === undefined
      ? 'has not run'
      : last.outcome === 'begun'
        ? `begun ${last.startedAt}, not ended yet (or killed)`
        : `${last.outcome} ${last.endedAt}${last.code === undefined ? '' : ` (${last.code})`}${failures > 1 ? `, ${failures} times in a row` : ''}`;
  return `${name} (${job}): ${how}; next ${next ?? 'never'}`;
}

function slotText({ status: { slot }, sourceReached, slotName }: StatusReport): string {
  if (!sourceReached) return `${slotName}: not known`;
  if (slot === undefined) return `${slotName}: is not there`;
  const { activePid, walStatus, lost, own, pinned, safeBytes, secondsLeft } = slot;
  const reader = activePid === undefined ? 'nobody reads it' : `read by pid ${activePid}`;
  const left = secondsLeft === undefined ? '' : ` (about ${formatDuration(secondsLeft * 1000)})`;
  const room =
    safeBytes === undefined ? 'no limit on the server' : `room for ${formatBytes(safeBytes)}${left}`;
  return `${slotName}: ${lost ? 'LOST' : (walStatus ?? 'no WAL kept')}, ${reader}; ${formatBytes(own)} not confirmed, ${formatBytes(pinned)} kept; ${room}`;
}

function windowText({ windows }: Pick<StatusReport, 'windows'>): string {
  const last = windows.at(-1);
  if (last === undefined) return 'none: only instants of snapshots can be restored';
  const more = windows.length === 1 ? '' : `; ${windows.length - 1} older`;
  return `${last.fromTime ?? last.from} to ${last.toTime ?? last.to}${more}`;
}

function gapText({ gaps }: StatusReport): string {
  const last = gaps.at(-1);
  if (last === undefined) return 'none';
  return `${gaps.length}; the latest from ${last.from.lsn} on (${last.reason}${last.tables === undefined ? '' : `, ${last.tables.length} table(s)`}), noticed ${last.noticedAt}`;
}

function seconds(milliseconds: number | undefined): number | null {
  return milliseconds === undefined ? null : Math.round(milliseconds) / 1000;
}
