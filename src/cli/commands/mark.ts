import type { Command } from 'commander';
import { markJob } from '../../app/mark-job.ts';
import type { CommandContext } from '../context.ts';

export function addMarkCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('mark')
    .description('write a named point into the change stream, to be restored with --to mark:NAME')
    .argument('<name>', '1 to 200 characters');
  run.action(command, async ({ settings, terminal, signal, args }) => {
    const marked = await markJob(settings, { name: args[0] ?? '', signal });
    terminal.result({ ...marked }, [
      `marked ${marked.name}: transaction ${marked.xid}, before ${marked.lsn}, at ${marked.time}`,
      'it can be restored once capture has stored it (restore --to mark:NAME)',
    ]);
  });
}
