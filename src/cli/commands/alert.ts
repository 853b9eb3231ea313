import type { Command } from 'commander';
import { testNotices } from '../../app/notify-targets.ts';
import { Failure } from '../../model/failure.ts';
import type { CommandContext } from '../context.ts';

export function addAlertCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('alert')
    .description('send a notice to everyone that notify names, to see whether it arrives')
    .requiredOption('--test', 'a test notice');
  run.action(command, async ({ settings, terminal }) => {
    const results = await testNotices(settings);
    const failed = results.filter(({ failure }) => failure !== undefined);
    terminal.result(
      {
        ok: failed.length === 0,
        targets: results.map(({ target, failure }) => ({
          target,
          told: failure === undefined,
          why: failure?.message ?? null,
        })),
      },
      results.map(({ target, failure }) =>
        failure === undefined ? `ok      ${target}` : `FAILED  ${failure.message}`,
      ),
    );
    if (failed.length > 0) process.exitCode = new Failure('notify.failed', '').exitCode;
  });
}
