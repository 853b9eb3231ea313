import { Option } from 'commander';
import type { Command } from 'commander';
import { planSnapshotJob, snapshotJob } from '../../app/snapshot-job.ts';
import type { SnapshotJobOptions } from '../../app/snapshot-job.ts';
import { exposedSigningKey } from '../../app/signing-keys.ts';
import type { Manifest } from '../../archive/manifest.ts';
import { formatBytes, formatCount, formatDuration } from '../../model/quantities.ts';
import { displayRelation } from '../../model/identifiers.ts';
import type { SnapshotPlan } from '../../snapshot/plan.ts';
import type { CommandContext } from '../context.ts';
import { limitUpload, repeated, seconds, size, wholeNumber } from '../options.ts';
import { startProgress } from '../progress.ts';
import { table } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';
import { trafficLine } from '../traffic.ts';

interface SnapshotOptions extends SnapshotJobOptions {
  readonly dryRun: boolean;
}

export function addSnapshotCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('snapshot')
    .description('take one consistent snapshot of the source')
    .addOption(
      new Option('--engine <ENGINE>', 'who reads the rows').choices(['copy', 'pg_dump']).default('copy'),
    )
    .addOption(
      new Option('--format <FORMAT>', 'COPY format of the data').choices(['text', 'binary']).default('text'),
    )
    .addOption(new Option('--compression <CODEC>', 'of the data').choices(['zstd', 'gzip', 'none']))
    .option('-j, --jobs <N>', 'connections that copy', wholeNumber('--jobs', { min: 1, max: 64 }))
    .addOption(repeated('--table <PATTERN>', 'only these tables'))
    .addOption(repeated('--schema <PATTERN>', 'only these schemas'))
    .addOption(repeated('--exclude <PATTERN>', 'not these tables'))
    .option('--no-large-objects', 'leave large objects out')
    .option('--witness', 'also digest every table, to prove restores by', false)
    .option('--lock-timeout <TIME>', 'how long to wait for a table lock', seconds('--lock-timeout'))
    .option(
      '--give-way-after <TIME>',
      'stop when someone waits behind our locks for this long',
      seconds('--give-way-after'),
    )
    .option('--archive-size <SIZE>', 'begin a new archive beyond this size', size('--archive-size'))
    .option('--staging <DIR>', 'engine pg_dump: a folder for temporary plaintext, for --jobs connections')
    .addOption(limitUpload())
    .option('--dry-run', 'print the plan and change nothing', false);
  run.action(command, async ({ settings, terminal, signal, options }) => {
    const chosen = options as unknown as SnapshotOptions;
    if (chosen.dryRun) {
      const { plan, server } = await planSnapshotJob(settings, { ...chosen, signal });
      terminal.result({ plan: planDocument(plan), server }, planLines(plan));
      return;
    }
    const exposed = await exposedSigningKey(settings.config);
    if (exposed !== undefined) terminal.warn(exposed.message);
    const progress = startProgress(terminal);
    const { manifest, milliseconds } = await snapshotJob(settings, {
      ...chosen,
      signal,
      onEvent: (event) => {
        if (event.kind === 'planned') progress.phase(announced(event.id, event.plan));
        else if (event.kind === 'phase' && event.phase === 'digesting')
          progress.phase('digesting the tables');
        else if (event.kind === 'phase' && event.phase === 'finishing')
          progress.phase('writing the manifest');
        else if (event.kind === 'progress') progress.update(event.doneBytes, event.totalBytes);
      },
      onCreated: (location) => terminal.note(`made a new repository at ${location}`),
      onUnreadable: (location, failure) =>
        terminal.warn(
          `changes in ${location} can’t be looked at (${failure.message}): if they are captured to there, the snapshot stays at its own instant`,
        ),
    }).finally(() => progress.stop());
    const { traffic } = settings;
    terminal.result({ snapshot: manifest.id, manifest, traffic }, [
      ...summaryLines(manifest, milliseconds),
      trafficLine(traffic),
    ]);
    noteCoverage(manifest, terminal);
  });
}

function announced(id: string, plan: SnapshotPlan): string {
  return `snapshot ${id}: ${formatCount(plan.tables.length)} tables, ${formatBytes(plan.totalBytes)} in the database, ${plan.jobs} connections`;
}

function planDocument(plan: SnapshotPlan): unknown {
  return {
    jobs: plan.jobs,
    totalBytes: plan.totalBytes,
    tables: plan.tables.map((entry) => ({
      schema: entry.relation.schema,
      name: entry.relation.name,
      totalBytes: entry.size.totalBytes,
      ranges: entry.ranges.length,
    })),
  };
}

function planLines(plan: SnapshotPlan): string[] {
  const largest = [...plan.tables].sort((a, b) => Number(b.size.totalBytes - a.size.totalBytes));
  const rows = largest
    .slice(0, 30)
    .map((entry) => [
      displayRelation(entry.relation),
      formatBytes(entry.size.totalBytes),
      formatCount(entry.ranges.length),
    ]);
  const more = largest.length > 30 ? [`… and ${largest.length - 30} more`] : [];
  return [
    `would copy ${formatCount(plan.tables.length)} tables, ${formatBytes(plan.totalBytes)} in the database, by ${plan.jobs} connections`,
    ...table(['TABLE', 'SIZE', 'RANGES'], rows),
    ...more,
  ];
}

function summaryLines(manifest: Manifest, milliseconds: number): string[] {
  const { totals } = manifest;
  const copied = Number(totals.copyBytes);
  const stored = Number(totals.storedBytes);
  const saved = copied === 0 ? '' : `, ${Math.max(0, 100 - (100 * stored) / copied).toFixed(1)} % saved`;
  return [
    `snapshot ${manifest.id} is complete`,
    `  shows:   ${manifest.server.databaseName} as of ${manifest.instant}`,
    `  holds:   ${formatCount(totals.tables)} tables, ${formatCount(BigInt(totals.rows))} rows`,
    `  stored:  ${formatBytes(stored)}${copied === 0 ? '' : ` of ${formatBytes(copied)} COPY data`}${saved}${manifest.encryptedTo.length > 0 ? ', encrypted' : ''}`,
    `  took:    ${formatDuration(milliseconds)}`,
  ];
}

function noteCoverage(manifest: Manifest, terminal: Terminal): void {
  const telling = manifest.coverage.filter(
    (entry) => entry.kind !== 'no-identity' && entry.kind !== 'materialized-view',
  );
  if (telling.length === 0) return;
  terminal.note('not in it:');
  for (const entry of telling) {
    const objects =
      entry.objects.length === 0
        ? ''
        : ` (${entry.objects.slice(0, 5).join(', ')}${entry.objects.length > 5 ? ', …' : ''})`;
    terminal.note(`  ${entry.note}${objects}`);
  }
}
