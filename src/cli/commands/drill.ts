import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { drillJob, listDrillsJob } from '../../app/drill-job.ts';
import type { DrillEvent } from '../../app/drill-job.ts';
import type { Settings } from '../../app/settings.ts';
import type { DrillDocument } from '../../archive/drill-document.ts';
import { htmlReport } from '../../drill/html-report.ts';
import { readReceipt, writeReceipt } from '../../drill/receipt.ts';
import { Failure } from '../../model/failure.ts';
import { formatBytes, formatCount, formatDuration } from '../../model/quantities.ts';
import type { CommandContext } from '../context.ts';
import { wholeNumber } from '../options.ts';
import { startProgress } from '../progress.ts';
import { table } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';

interface DrillOptions {
  readonly at: string;
  readonly server?: string;
  readonly major?: number;
  readonly html?: string;
  readonly receipt?: string;
  readonly list: boolean;
  readonly checkReceipt?: string;
}

export function addDrillCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('drill')
    .description('restore into a throw-away server, prove what came back, and report')
    .option('--at <POINT>', 'latest, random, witness, or any target that restore takes', 'latest')
    .option('--server <WHERE>', 'local, or the URL of a server where databases may be made')
    .option('--major <N>', 'PostgreSQL of the local server', wholeNumber('--major', { min: 14, max: 99 }))
    .option('--html <FILE>', 'write the report as a page, too')
    .option('--receipt <FILE>', 'write a signed receipt (needs signing.keyFile)')
    .option('--list', 'show the drills so far', false)
    .option('--check-receipt <FILE>', 'whether a key in trust signed this receipt');
  run.action(command, async ({ settings, terminal, signal, options }) => {
    const chosen = options as unknown as DrillOptions;
    if (chosen.checkReceipt !== undefined) return checkReceipt(settings, terminal, chosen.checkReceipt);
    if (chosen.list) {
      const drills = await listDrillsJob(settings, signal);
      terminal.result({ drills }, historyLines(drills));
      return;
    }
    const signer = await settings.signer();
    if (chosen.receipt !== undefined && signer === undefined)
      throw new Failure('config.missing', 'a receipt is signed, and signing.keyFile is not set');
    const progress = startProgress(terminal);
    const drill = await drillJob(settings, {
      at: chosen.at,
      server: chosen.server,
      major: chosen.major,
      signal,
      onEvent: (event) => show(event, progress),
    }).finally(() => progress.stop());
    if (chosen.html !== undefined) await writeFile(chosen.html, htmlReport(drill), { mode: 0o600 });
    if (chosen.receipt !== undefined && signer !== undefined)
      await writeFile(chosen.receipt, writeReceipt(drill, signer));
    terminal.result({ ok: drill.verdict === 'proved', drill }, reportLines(drill));
    process.exitCode = EXITS[drill.verdict];
  });
}

const EXITS = { proved: 0, partly: 3, disproved: 9, failed: 1 } as const;

function show(event: DrillEvent, progress: ReturnType<typeof startProgress>): void {
  if (event.kind === 'point') progress.phase(`drill: ${event.target}`);
  else if (event.kind === 'server') progress.phase(`restoring into a throw-away PostgreSQL ${event.major}`);
  else if (event.kind === 'proving') progress.phase('proving');
  else if (event.event.kind === 'phase') progress.phase(event.event.phase);
  else if (event.event.kind === 'progress') progress.update(event.event.doneBytes, event.event.totalBytes);
  else if (event.event.kind === 'changes') progress.update(event.event.readBytes, event.event.totalBytes);
}

const SAID = {
  proved: 'PROVED: the restored content equals what the source had',
  partly: 'PARTLY PROVED: nothing failed, but not everything could be compared',
  disproved: 'DISPROVED: what came back is not what was there',
  failed: 'FAILED: the point could not be restored',
} as const;

const MARKS = { proved: 'ok     ', disproved: 'BROKEN ', skipped: 'not seen' } as const;

function reportLines(drill: DrillDocument): string[] {
  const { restored, objectives, rtoMilliseconds: rto, rpoMilliseconds: rpo } = drill;
  return [
    SAID[drill.verdict],
    `  drill ${drill.id} at ${drill.point.target}${drill.snapshot === undefined ? '' : `, from snapshot ${drill.snapshot}`}, on PostgreSQL ${drill.server.major}`,
    ...(restored === undefined
      ? []
      : [
          `  ${formatCount(restored.tables)} tables, ${formatCount(BigInt(restored.rows))} rows, ${formatBytes(restored.bytes)}, then ${formatCount(restored.changes)} changes`,
        ]),
    ...drill.proofs.map(({ name, outcome, detail }) => `  ${MARKS[outcome].padEnd(8)} ${name}: ${detail}`),
    ...(drill.failure === undefined ? [] : [`  ${drill.failure.code}: ${drill.failure.message}`]),
    ...(rto === undefined ? [] : [`  RTO ${against(rto, objectives.rtoMilliseconds)}`]),
    ...(rpo === undefined ? [] : [`  RPO ${against(rpo, objectives.rpoMilliseconds)}`]),
    `  ${drill.phases.map(({ name, milliseconds }) => `${name} ${formatDuration(milliseconds)}`).join(' · ')}`,
  ];
}

function against(measured: number, objective: number): string {
  return `${formatDuration(measured)}, ${measured <= objective ? 'within' : 'BEYOND'} the objective of ${formatDuration(objective)}`;
}

function historyLines(drills: readonly DrillDocument[]): string[] {
  if (drills.length === 0) return ['no drill was held yet'];
  return table(
    ['DRILL', 'POINT', 'VERDICT', 'RTO', 'RPO', 'ROWS'],
    drills.map(({ id, point, verdict, rtoMilliseconds, rpoMilliseconds, restored }) => [
      id,
      point.target,
      verdict,
      rtoMilliseconds === undefined ? '' : formatDuration(rtoMilliseconds),
      rpoMilliseconds === undefined ? '' : formatDuration(rpoMilliseconds),
      restored === undefined ? '' : formatCount(BigInt(restored.rows)),
    ]),
  );
}

async function checkReceipt(settings: Settings, terminal: Terminal, file: string): Promise<void> {
  const trust = settings.trust();
  if (trust === undefined)
    throw new Failure('config.missing', 'trust names no key that could have signed the receipt');
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Failure('usage.invalid', `${file} can't be read`, { facts: { file }, cause });
  });
  const receipt = readReceipt(text, trust);
  terminal.result({ receipt }, [
    `signed by a trusted key: drill ${receipt.drill} of ${receipt.source} at ${receipt.point}: ${receipt.verdict}`,
    `  ${receipt.startedAt} to ${receipt.finishedAt}; ${receipt.proofs.proved} proved, ${receipt.proofs.disproved} disproved, ${receipt.proofs.skipped} not seen`,
  ]);
}
