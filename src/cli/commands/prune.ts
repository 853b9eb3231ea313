import type { Command } from 'commander';
import { planPruneJob } from '../../app/prune-job.ts';
import type { PruneReport } from '../../app/prune-job.ts';
import { FAILURE_CODES } from '../../model/failure-codes.ts';
import { formatBytes, formatCount } from '../../model/quantities.ts';
import type { CommandContext } from '../context.ts';
import { table } from '../terminal.ts';

export function addPruneCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('prune')
    .description('show which snapshots and changes the retention rules of tidemark.yaml let go, and why');
  run.action(command, async ({ settings, terminal, signal }) => {
    const report = await planPruneJob(settings, { signal });
    terminal.result({ ok: report.refusals.length === 0, ...report }, planLines(report));
    if (report.refusals.length > 0) process.exitCode = FAILURE_CODES['prune.refused'].exit;
  });
}

function planLines(report: PruneReport): string[] {
  const { snapshots, streams, windows, refusals } = report;
  return [
    ...(snapshots.length === 0
      ? [`no snapshots of ${report.source} in ${report.location}`]
      : table(
          ['SNAPSHOT', 'SHOWS', 'SCOPE', 'STORED', '', 'WHY'],
          snapshots.map(({ id, instant, scope, bytes, keep, reasons }) => [
            id,
            instant,
            scope,
            formatBytes(bytes),
            keep ? 'keep' : 'GOES',
            reasons.join('; '),
          ]),
        )),
    ...streams.map(({ id, cut, objects, bytes }) =>
      cut === undefined
        ? `stream ${id}: all of it stays`
        : `stream ${id}: what lies before ${cut} GOES, ${formatCount(objects)} objects, ${formatBytes(bytes)}`,
    ),
    ...windows.map(
      ({ from, to, fromTime, toTime }) =>
        `window afterwards: ${fromTime ?? 'no time'} to ${toTime ?? 'no time'} (${from} to ${to})`,
    ),
    ...refusals.map((why) => `NOTHING GOES: ${why}`),
    `${formatBytes(report.bytes)} would be freed`,
  ];
}
