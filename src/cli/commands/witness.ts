import type { Command } from 'commander';
import { compareJob, witnessJob } from '../../app/witness-job.ts';
import type { WitnessDocument } from '../../archive/witness-document.ts';
import { FAILURE_CODES } from '../../model/failure-codes.ts';
import { displayRelation } from '../../model/identifiers.ts';
import { formatBytes, formatCount, formatDuration } from '../../model/quantities.ts';
import type { TableVerdict } from '../../witness/compare.ts';
import type { CommandContext } from '../context.ts';
import { repeated, seconds, wholeNumber } from '../options.ts';
import { startProgress } from '../progress.ts';

interface WitnessOptions {
  readonly jobs?: number;
  readonly maxTime?: number;
  readonly table: readonly string[];
  readonly schema: readonly string[];
  readonly exclude: readonly string[];
  readonly compare?: string;
}

export function addWitnessCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('witness')
    .description(
      'digest the source’s tables at one instant, to prove restores by; or compare a restored database',
    )
    .argument('[id]', 'with --compare: a witness, or latest', 'latest')
    .option('-j, --jobs <N>', 'connections that read', wholeNumber('--jobs', { min: 1, max: 64 }))
    .option('--max-time <TIME>', 'how long the source is read (default: 60min)', seconds('--max-time'))
    .addOption(repeated('--table <PATTERN>', 'only these tables'))
    .addOption(repeated('--schema <PATTERN>', 'only these schemas'))
    .addOption(repeated('--exclude <PATTERN>', 'not these tables'))
    .option('--compare <URL>', 'compare this restored database with a witness instead of taking one');
  run.action(command, async ({ settings, terminal, signal, options, args }) => {
    const chosen = options as unknown as WitnessOptions;
    if (chosen.compare !== undefined) {
      const { witness, verdicts } = await compareJob(settings, {
        id: args[0] ?? 'latest',
        target: chosen.compare,
        jobs: chosen.jobs,
        signal,
      });
      const bad = verdicts.filter(({ verdict }) => verdict !== 'same');
      terminal.result(
        { ok: bad.length === 0, witness: witness.id, instant: witness.instant, tables: verdicts },
        verdictLines(witness, verdicts),
      );
      if (bad.length > 0) process.exitCode = FAILURE_CODES['integrity.digest'].exit;
      return;
    }
    const progress = startProgress(terminal);
    const started = performance.now();
    const witness = await witnessJob(settings, {
      ...chosen,
      jobs: chosen.jobs,
      maxMs: chosen.maxTime,
      signal,
      onEvent: (event) => {
        if (event.kind === 'planned')
          progress.phase(
            `witness ${event.id}: ${formatCount(event.tables)} tables, ${formatBytes(event.totalBytes)}`,
          );
        else progress.update(Number(event.doneBytes), Number(event.totalBytes));
      },
    }).finally(() => progress.stop());
    terminal.result({ witness }, takenLines(witness, performance.now() - started));
    if (witness.left.length > 0) process.exitCode = FAILURE_CODES['check.findings'].exit;
  });
}

const REASONS = {
  time: 'the time was over; it comes first the next time',
  locked: 'somebody waited for its lock',
  'too-long': 'a row has more text than one value can hold',
} as const;

function takenLines(witness: WitnessDocument, milliseconds: number): string[] {
  const rows = witness.tables.reduce((sum, table) => sum + BigInt(table.rows), 0n);
  return [
    `witness ${witness.id} of ${witness.instant}: ${formatCount(witness.tables.length)} tables, ${formatCount(rows)} rows in ${formatDuration(milliseconds)}`,
    ...witness.left.map((table) => `  not digested: ${displayRelation(table)}: ${REASONS[table.reason]}`),
  ];
}

function verdictLines(witness: WitnessDocument, verdicts: readonly TableVerdict[]): string[] {
  const same = verdicts.filter(({ verdict }) => verdict === 'same').length;
  return [
    ...verdicts
      .filter(({ verdict }) => verdict !== 'same')
      .map((one) => `DIFFERS ${displayRelation(one)}: ${said(one)}`),
    `${same} of ${verdicts.length} tables are as witness ${witness.id} saw them at ${witness.instant}`,
    ...witness.left.map((table) => `  not in the witness: ${displayRelation(table)}`),
  ];
}

function said(one: TableVerdict): string {
  switch (one.verdict) {
    case 'missing':
      return 'the table, or a column, is not there';
    case 'rows':
      return `${formatCount(one.found)} rows instead of ${formatCount(one.expected)}`;
    case 'content':
      return `as many rows (${formatCount(one.rows)}), of other content`;
    case 'same':
      return 'the same';
  }
}
