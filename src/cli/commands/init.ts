import type { Command } from 'commander';
import {
  initJob,
  initWithIdentityJob,
  printCaptureSqlJob,
  removeCaptureJob,
  setUpCaptureJob,
} from '../../app/init-job.ts';
import type { MadeRepository } from '../../app/init-job.ts';
import type { Limited } from '../../capture/set-up/decide-tables.ts';
import type { SetUpReport } from '../../capture/set-up/set-up-source.ts';
import { FAILURE_CODES } from '../../model/failure-codes.ts';
import { Failure } from '../../model/failure.ts';
import { displayRelation } from '../../model/identifiers.ts';
import { formatCount } from '../../model/quantities.ts';
import type { CommandContext, Invocation } from '../context.ts';
import { seconds } from '../options.ts';

export function addInitCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('init')
    .description('make a repository; set a source up for change capture')
    .option('--identity', 'encrypt, with the private key in the repository under TIDEMARK_PASSPHRASE', false)
    .option('--capture', 'install on the source what change capture needs, or repair it', false)
    .option(
      '--print-sql',
      'print the SQL for a DBA instead of running it (with --capture or --remove)',
      false,
    )
    .option('--remove', 'remove from the source all that --capture made; the repository stays', false)
    .option(
      '--patience <TIME>',
      'wait this long for transactions that hold up the slot (default: 60s)',
      seconds('--patience'),
    );
  run.action(command, async (invocation) => {
    const { options } = invocation;
    const wanted = { capture: options['capture'] === true, remove: options['remove'] === true };
    if (wanted.capture && wanted.remove)
      throw new Failure('usage.invalid', '--capture and --remove contradict each other');
    if (options['identity'] === true) {
      if (wanted.capture || wanted.remove)
        throw new Failure('usage.invalid', '--identity makes a repository; set the source up afterwards');
      return initWithIdentity(invocation);
    }
    if (options['printSql'] === true) return print(invocation, wanted);
    if (wanted.remove) return remove(invocation);
    if (wanted.capture) return setUp(invocation);
    const made = await initJob(invocation.settings, invocation.signal);
    invocation.terminal.result({ ...made }, [repositoryLine(made)]);
  });
}

async function initWithIdentity({ settings, terminal, signal }: Invocation): Promise<void> {
  const made = await initWithIdentityJob(settings, signal);
  terminal.result({ ...made }, [
    repositoryLine(made),
    `what is stored will be encrypted to ${made.recipient}`,
    `write this into tidemark.yaml:  encryption: { recipients: [ ${made.recipient} ] }`,
    'restores need TIDEMARK_PASSPHRASE; nothing opens the backups without it',
  ]);
}

async function setUp({ settings, terminal, signal, options }: Invocation): Promise<void> {
  const patience = options['patience'] as number | undefined;
  const { repository, names, report } = await setUpCaptureJob(settings, {
    ...(patience !== undefined && { patience }),
    onNote: (line) => terminal.note(line),
    signal,
  });
  for (const warning of report.warnings) terminal.warn(warning);
  terminal.result({ ok: report.pending.length === 0, repository, names, ...report }, [
    repositoryLine(repository),
    ...reportLines(report),
  ]);
  if (report.pending.length > 0) process.exitCode = FAILURE_CODES['check.findings'].exit;
}

async function remove({ settings, terminal, signal }: Invocation): Promise<void> {
  const { names, report } = await removeCaptureJob(settings, signal);
  terminal.result({ names, ...report }, [
    ...(report.done.length === 0 ? ['nothing of Tidemark is on the source'] : []),
    ...report.done.map((what) => `removed  ${what}`),
    ...report.kept.map((what) => `kept     ${what}`),
  ]);
}

async function print(
  { settings, terminal, signal }: Invocation,
  wanted: { readonly capture: boolean; readonly remove: boolean },
): Promise<void> {
  if (!wanted.capture && !wanted.remove)
    throw new Failure('usage.invalid', '--print-sql goes with --capture or --remove');
  const printed = await printCaptureSqlJob(settings, { remove: wanted.remove, signal });
  terminal.result({ ...printed }, printed.sql.trimEnd().split('\n'));
}

function repositoryLine(made: MadeRepository): string {
  return made.created ? `made a repository at ${made.location}` : `${made.location} is a repository already`;
}

function reportLines(report: SetUpReport): string[] {
  const { tables } = report;
  const done = report.done.length === 0 ? ['nothing to do: the source is set up'] : report.done;
  return [
    ...done.map((what) => (report.done.length === 0 ? what : `done     ${what}`)),
    ...report.pending.map((what) => `pending  ${what}; run again`),
    `captured: every change of ${formatCount(tables.whole)} tables${report.allTables ? '; tables to come are included' : '; tables to come when init or capture looks again'}`,
    `schema changes: ${report.eventTriggers ? 'recorded by event triggers' : 'noticed by comparison (no right to make event triggers)'}`,
    ...limitedLines('inserts only, updates and deletes come with the next snapshot', tables.insertOnly),
    ...limitedLines('not captured, in snapshots alone', tables.notCaptured),
    `slot ${report.slot.name} stands at ${report.slot.confirmedFlushLsn}: start capture soon, the server keeps WAL from here on`,
  ];
}

function limitedLines(title: string, tables: readonly Limited[]): string[] {
  if (tables.length === 0) return [];
  return [`${title}:`, ...tables.map((table) => `  ${displayRelation(table)}: ${table.reason}`)];
}
