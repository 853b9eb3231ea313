import type { Command } from 'commander';
import { planRestoreJob, restoreJob } from '../../app/restore-job.ts';
import type { PointReport, RestoreJobOptions } from '../../app/restore-job.ts';
import { describeLimited } from '../../catalog/tables.ts';
import { FAILURE_CODES } from '../../model/failure-codes.ts';
import { displayRelation } from '../../model/identifiers.ts';
import { formatBytes, formatCount, formatDuration } from '../../model/quantities.ts';
import { estimateLine } from '../../restore/estimate.ts';
import type { RestorePlan } from '../../restore/plan.ts';
import { confirm } from '../context.ts';
import type { CommandContext } from '../context.ts';
import { replayDocument, replayLines } from '../recovery-plan.ts';
import { limitDownload, repeated, wholeNumber } from '../options.ts';
import { startProgress } from '../progress.ts';
import { NOT_AUTHENTICATED } from '../terminal.ts';
import { trafficLine } from '../traffic.ts';

interface RestoreOptions extends RestoreJobOptions {
  readonly target: string;
  readonly dryRun: boolean;
}

export function addRestoreCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('restore')
    .description('bring a snapshot, or some of its tables, back into a database')
    .requiredOption('--target <URL>', 'the database to restore into; never the source')
    .option('--to <TARGET>', 'latest, a time, lsn:…, xid:…, mark:NAME or snapshot:ID', 'latest')
    .option('--exclusive', 'without what committed at just this point', false)
    .option('--timezone <NAME>', 'of a time without a zone, like Europe/Berlin')
    .option('--create', 'make the database', false)
    .option('--globals', 'make the roles that are missing', false)
    .option('--clean', 'replace what stands in the way (asks first)', false)
    .addOption(repeated('--table <PATTERN>', 'only these tables'))
    .addOption(repeated('--schema <PATTERN>', 'only these schemas'))
    .option('--schema-only', 'definitions without rows', false)
    .option('--data-only', 'rows into tables that exist', false)
    .option('--no-owner', 'objects belong to the role that restores')
    .option('--no-privileges', 'without grants')
    .option('-j, --jobs <N>', 'connections', wholeNumber('--jobs', { min: 1, max: 64 }))
    .option('--staging <DIR>', 'engine pg_dump: a folder for temporary plaintext, for --jobs connections')
    .addOption(limitDownload())
    .option('--dry-run', 'print the plan and change nothing', false);
  run.action(command, async ({ settings, terminal, signal, options }) => {
    const chosen = options as unknown as RestoreOptions;
    const authenticated = settings.trust() !== undefined;
    const unproven = authenticated ? [] : [`  ${NOT_AUTHENTICATED}`];
    if (chosen.dryRun) {
      const { plan, recovery } = await planRestoreJob(settings, { ...chosen, signal });
      const { id: snapshot, repository } = recovery.snapshot;
      const plain = {
        snapshot,
        repository,
        plan: planDocument(plan),
        replay: replayDocument(recovery),
        authenticated,
      };
      const ofSome = chosen.table.length + chosen.schema.length > 0 ? namesLine(plan) : [];
      terminal.result(plain, [
        ...planLines(plan, `${snapshot} in ${repository}`),
        ...ofSome,
        ...replayLines(recovery),
        ...unproven,
      ]);
      if (plan.blockers.length > 0) process.exitCode = FAILURE_CODES['check.findings'].exit;
      return;
    }
    if (chosen.clean) {
      await confirm(
        `This drops what the snapshot would replace in ${settings.connection(chosen.target).display}.`,
        { terminal, options },
      );
    }
    const progress = startProgress(terminal);
    const report = await restoreJob(settings, {
      ...chosen,
      signal,
      onWarning: (line) => terminal.warn(line),
      onEvent: (event) => {
        if (event.kind === 'planned') {
          const what = `${formatCount(event.plan.tables.length)} tables, ${formatCount(event.plan.rows)} rows`;
          progress.phase(`${event.continued ? 'going on with' : 'restoring'} ${what}`);
        } else if (event.kind === 'phase') progress.phase(`${event.phase} (${formatCount(event.items)})`);
        else if (event.kind === 'progress') progress.update(event.doneBytes, event.totalBytes);
        else if (event.kind === 'changes') progress.update(event.readBytes, event.totalBytes);
      },
    }).finally(() => progress.stop());
    if (hasSchemaFindings(report) || report.brokenKeys.length > 0)
      process.exitCode = FAILURE_CODES['check.findings'].exit;
    const { traffic } = settings;
    terminal.result({ report, authenticated, traffic }, [
      ...reportLines(report),
      ...unproven,
      trafficLine(traffic),
    ]);
  });
}

function planDocument(plan: RestorePlan): unknown {
  return {
    tables: plan.tables.length,
    tableNames: plan.tables.map(displayRelation),
    rows: plan.rows,
    copyBytes: plan.copyBytes,
    storedBytes: plan.storedBytes,
    preData: plan.preData.length,
    postData: plan.postData.length,
    sequences: plan.sequences.length,
    materializedViews: plan.materializedViews.length,
    time: plan.time,
    space: plan.space,
    notes: plan.notes,
    blockers: plan.blockers,
  };
}

function planLines(plan: RestorePlan, snapshot: string): string[] {
  return [
    `would restore from snapshot ${snapshot}:`,
    `  ${formatCount(plan.tables.length)} tables, ${formatCount(plan.rows)} rows${plan.copyBytes === 0 ? '' : `, ${formatBytes(plan.copyBytes)} of COPY data`}`,
    `  ${formatBytes(plan.storedBytes)} to be read from the repository`,
    `  ${formatCount(plan.preData.length)} definitions before the data, ${formatCount(plan.postData.length)} after it`,
    ...(plan.time === undefined ? [] : [`  ${estimateLine(plan.time)}`]),
    ...(plan.space === undefined ? [] : [`  ${plan.space}`]),
    ...plan.notes.map((note) => `  note: ${note}`),
    ...plan.blockers.map((blocker) => `  BLOCKER: ${blocker}`),
  ];
}

const MOST_NAMES = 20;

function namesLine({ tables }: RestorePlan): string[] {
  const more = tables.length > MOST_NAMES ? `, and ${formatCount(tables.length - MOST_NAMES)} more` : '';
  return [`  of these tables: ${tables.slice(0, MOST_NAMES).map(displayRelation).join(', ')}${more}`];
}

function reportLines(report: PointReport): string[] {
  return [
    `restored snapshot ${report.snapshot}`,
    `  ${formatCount(report.tables)} tables, ${formatCount(report.rows)} rows${report.copyBytes === 0 ? '' : `, ${formatBytes(report.copyBytes)}`} in ${formatDuration(report.milliseconds)}`,
    ...changesLines(report),
    ...report.brokenKeys.map(
      ({ table, constraint, rows }) =>
        `  BROKEN foreign key ${constraint} of ${table}: ${rows === undefined ? 'it is left out, since rows' : `${formatCount(BigInt(rows))} row(s)`} lack what they reference`,
    ),
    ...report.notes.map((note) => `  note: ${note}`),
  ];
}

function changesLines({ changes }: PointReport): string[] {
  if (changes === undefined) return ['  every row count was checked against the snapshot'];
  const { lastApplied: last, firstNotApplied: next } = changes;
  const where = (transaction: NonNullable<typeof last>): string =>
    `xid ${transaction.xid}, committed ${transaction.commitTime} at ${transaction.commitLsn}`;
  return [
    `  then ${formatCount(changes.applied)} changes of stream ${changes.stream}, each found where it was expected`,
    ...schemaLines(changes),
    ...(changes.ignoredMessages === 0
      ? []
      : [
          `  ${formatCount(changes.ignoredMessages)} message(s) about schema changes were not the source’s own: somebody sent them under the name, they were ignored`,
        ]),
    ...describeLimited(changes.limited).map((line) => `  NOT WHOLE: ${line}`),
    ...(changes.sequencesKnown
      ? []
      : [
          '  sequences may have moved unseen before the point: they were put further, so numbers are left out',
        ]),
    ...(last === undefined ? [] : [`  the last transaction that it holds: ${where(last)}`]),
    ...(next === undefined ? [] : [`  the first one that it does not: ${where(next)}`]),
  ];
}

/** Something of the source's schema is missing, or was guessed. */
function hasSchemaFindings({ changes }: PointReport): boolean {
  if (changes === undefined) return false;
  return changes.schemaChanges.notApplied.length + changes.schemaChanges.inferred.length > 0;
}

function schemaLines({ schemaChanges, ddl }: NonNullable<PointReport['changes']>): string[] {
  const { applied, inferred, notApplied } = schemaChanges;
  const known = {
    exact: 'every one was recorded',
    inferred: 'some may have been seen by their effects alone',
    unknown: 'it is not known whether there were more',
  };
  return [
    ...(applied + inferred.length + notApplied.length === 0 && ddl === 'exact'
      ? []
      : [`  ${formatCount(applied)} schema change(s) were made as on the source; ${known[ddl]}`]),
    ...inferred.map((what) => `  INFERRED from the changes alone: ${what}`),
    ...notApplied.map(
      ({ what, why, xid, commitLsn }) => `  NOT APPLIED: ${what} (xid ${xid} at ${commitLsn}): ${why}`,
    ),
  ];
}
