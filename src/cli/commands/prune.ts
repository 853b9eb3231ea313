import type { Command } from 'commander';
import { planPruneJob, pruneJob } from '../../app/prune-job.ts';
import type { AppliedPrune, PruneReport } from '../../app/prune-job.ts';
import { FAILURE_CODES } from '../../model/failure-codes.ts';
import { formatBytes, formatCount, formatDuration } from '../../model/quantities.ts';
import type { CommandContext } from '../context.ts';
import { table } from '../terminal.ts';

export function addPruneCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('prune')
    .description('show which snapshots and changes the retention rules of tidemark.yaml let go, and why')
    .option('--apply', 'mark them, and remove what was marked before, once the grace is over', false)
    .option(
      '--wait',
      'with --apply: stay until the grace is over, and remove at once what this run marks',
      false,
    );
  run.action(command, async ({ settings, terminal, signal, options }) => {
    if (options['apply'] !== true) {
      const report = await planPruneJob(settings, { signal });
      terminal.result({ ok: report.refusals.length === 0, plan: report }, [
        ...planLines(report),
        `${formatBytes(report.bytes)} would be freed; --apply does it`,
      ]);
      if (report.refusals.length > 0) process.exitCode = FAILURE_CODES['prune.refused'].exit;
      return;
    }
    const applied = await pruneJob(settings, {
      wait: options['wait'] === true,
      onWait: (why, milliseconds) => terminal.note(`waiting ${formatDuration(milliseconds)} ${why}`),
      signal,
    });
    const isWhole = applied.heldBack.length === 0;
    terminal.result({ ok: isWhole, ...applied }, [...planLines(applied.plan), '', ...appliedLines(applied)]);
    if (!isWhole) process.exitCode = FAILURE_CODES['check.findings'].exit;
  });
}

function planLines(report: PruneReport): string[] {
  const { snapshots, streams, windows, leftovers, refusals } = report;
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
    ...leftovers.map(({ prefix, what, bytes }) => `${prefix}: ${what} GOES, ${formatBytes(bytes)}`),
    ...windows.map(
      ({ from, to, fromTime, toTime }) =>
        `window afterwards: ${fromTime ?? 'no time'} to ${toTime ?? 'no time'} (${from} to ${to})`,
    ),
    ...refusals.map((why) => `NOTHING GOES: ${why}`),
  ];
}

function appliedLines({ removed, heldBack, marked }: AppliedPrune): string[] {
  const { snapshots, cuts, leftovers, objects, bytes } = removed;
  const things = (of: typeof removed | NonNullable<typeof marked>): string =>
    `${formatCount(of.snapshots.length)} snapshot(s), ${formatCount(of.cuts.length)} stream(s), ${formatCount(of.leftovers.length)} leftover(s)`;
  return [
    ...(snapshots.length + cuts.length + leftovers.length === 0
      ? ['nothing was removed']
      : [`removed of ${things(removed)}: ${formatCount(objects)} objects, ${formatBytes(bytes)}`]),
    ...heldBack.map((why) => `held back: ${why}`),
    ...(marked === undefined
      ? []
      : [`marked: ${things(marked)}; run it again after ${marked.removableFrom} to remove them`]),
  ];
}
