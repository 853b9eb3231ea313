import { Command, CommanderError } from 'commander';
import { PROGRAM } from '../app/program.ts';
import { Failure, asFailure } from '../model/failure.ts';
import { addAlertCommand } from './commands/alert.ts';
import { addCaptureCommand } from './commands/capture.ts';
import { addConfigCommand, addDoctorCommand, addVerifyCommand } from './commands/checks.ts';
import { addDrillCommand } from './commands/drill.ts';
import { addDemoCommand } from './commands/demo.ts';
import { addInitCommand } from './commands/init.ts';
import { addListCommand } from './commands/list.ts';
import { addLogCommand } from './commands/log.ts';
import { addMarkCommand } from './commands/mark.ts';
import { addWitnessCommand } from './commands/witness.ts';
import { addPruneCommand } from './commands/prune.ts';
import { addRestoreCommand } from './commands/restore.ts';
import { addRunCommand } from './commands/run.ts';
import { addShowCommand } from './commands/show.ts';
import { addSnapshotCommand } from './commands/snapshot.ts';
import { addStatusCommand } from './commands/status.ts';
import { CommandContext } from './context.ts';
import { addCommonOptions } from './options.ts';

const stop = new AbortController();
const context = new CommandContext(stop.signal);
let asked = 0;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    asked += 1;
    // The second request does not wait for a clean end: without its last object, nothing that was written counts.
    if (asked > 1) process.exit(130);
    context.announce(`${signal}: stopping; once more to end at once`);
    stop.abort(new Failure('interrupted', `stopped by ${signal}`));
  });
}

const program = new Command('tidemark')
  .description('Point-in-time recovery for a Postgres of which you hold only the connection string')
  .version(PROGRAM, '-V, --version')
  .showSuggestionAfterError()
  .exitOverride();
for (const add of [
  addInitCommand,
  addDoctorCommand,
  addSnapshotCommand,
  addCaptureCommand,
  addRunCommand,
  addMarkCommand,
  addWitnessCommand,
  addDrillCommand,
  addStatusCommand,
  addRestoreCommand,
  addListCommand,
  addShowCommand,
  addLogCommand,
  addVerifyCommand,
  addAlertCommand,
  addPruneCommand,
  addConfigCommand,
  addDemoCommand,
])
  add(program, context);
for (const command of program.commands) addCommonOptions(command).exitOverride();

try {
  await program.parseAsync(process.argv);
} catch (error) {
  process.exitCode = report(error);
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const failure = asFailure(error);
  context.terminal.failure(failure);
  if (failure.code === 'internal' && failure.cause instanceof Error)
    process.stderr.write(`${failure.cause.stack ?? ''}\n`);
  return failure.exitCode;
}
