import type { Command } from 'commander';
import { listJob } from '../../app/list-job.ts';
import type { ListedSnapshot } from '../../app/list-job.ts';
import { FAILURE_CODES } from '../../model/failure-codes.ts';
import { formatBytes, formatCount } from '../../model/quantities.ts';
import type { CommandContext } from '../context.ts';
import { NOT_AUTHENTICATED, table } from '../terminal.ts';

export function addListCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('list')
    .description('list the snapshots of the repository')
    .option('--all-sources', 'of every source, not only the configured one', false);
  run.action(command, async ({ settings, terminal, signal, options }) => {
    const listed = await listJob(settings, { allSources: options['allSources'] === true, signal });
    const authenticated = settings.trust() !== undefined;
    terminal.result({ ok: listed.refused.length === 0, ...listed, authenticated }, [
      ...(listed.snapshots.length === 0
        ? [`no snapshots in ${listed.location}`]
        : table(
            ['SNAPSHOT', 'SOURCE', 'SHOWS', 'SCOPE', 'TABLES', 'ROWS', 'STORED', 'ENGINE'],
            listed.snapshots.map(row),
          )),
      ...(authenticated || listed.snapshots.length === 0 ? [] : [NOT_AUTHENTICATED]),
      ...listed.refused.map(({ message, code }) => `REFUSED: ${message} (${code})`),
      ...listed.unfinished.map(
        (folder) =>
          `unfinished: ${folder.id} (${formatBytes(folder.storedBytes)} left by a run that did not end; it does not count)`,
      ),
    ]);
    if (listed.refused.length > 0) process.exitCode = FAILURE_CODES['integrity.unsigned'].exit;
  });
}

function row(entry: ListedSnapshot): string[] {
  return [
    entry.id,
    entry.source,
    entry.instant,
    entry.scope + (entry.encrypted ? ', encrypted' : ''),
    formatCount(entry.tables),
    formatCount(BigInt(entry.rows)),
    formatBytes(Number(entry.storedBytes)),
    entry.engine,
  ];
}
