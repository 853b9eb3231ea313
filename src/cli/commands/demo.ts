import { once } from 'node:events';
import type { Command } from 'commander';
import { demo } from '../../app/demo.ts';
import { formatCommitTime } from '../../model/commit-time.ts';
import { formatBytes, formatCount, formatDuration } from '../../model/quantities.ts';
import { Failure } from '../../model/failure.ts';
import type { CommandContext } from '../context.ts';

const DEFAULT_SCALE = 0.05;

export function addDemoCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('demo')
    .description('protect, break and restore a sample database on a server of its own')
    .option('--scale <FACTOR>', `size of the sample; 1 is about 1.2 GB`, scale, DEFAULT_SCALE)
    .option('--keep', 'leave the server running until ^C', false);
  run.action(command, async ({ terminal, signal, options }) => {
    const say = (line: string): void => terminal.note(line);
    const facts: Record<string, unknown> = {};
    say('Tidemark demo: a rental marketplace ruins its data, and gets back the moment before.\n');
    await demo({
      scale: Number(options['scale']),
      keep: options['keep'] === true,
      signal,
      steps: {
        server: ({ major, origin, milliseconds }) =>
          say(
            `1. started PostgreSQL ${major} (${origin}) in a temporary directory        ${formatDuration(milliseconds)}`,
          ),
        sample: ({ tables, rows, bytes, milliseconds }) =>
          say(
            `2. loaded ${formatCount(tables)} tables, about ${formatCount(rows)} rows, ${formatBytes(bytes)}        ${formatDuration(milliseconds)}`,
          ),
        capturing: ({ slot, milliseconds }) =>
          say(
            `3. captures every change from now on, through replication slot ${slot}        ${formatDuration(milliseconds)}`,
          ),
        snapshot: ({ manifest, milliseconds }) => {
          facts['snapshot'] = manifest.id;
          const { copyBytes, storedBytes, rows } = manifest.totals;
          say(
            `4. took snapshot ${manifest.id}: ${formatCount(BigInt(rows))} rows, all at one instant        ${formatDuration(milliseconds)}`,
          );
          say(
            `   ${formatBytes(Number(copyBytes))} of data became ${formatBytes(Number(storedBytes))} of archive (${(100 - (100 * Number(storedBytes)) / Number(copyBytes)).toFixed(0)} % saved)`,
          );
        },
        work: ({ transactions }) => say(`5. meanwhile the marketplace goes on: ${transactions} transactions`),
        disaster: ({ statement, rows }) =>
          say(
            `6. disaster: ${statement}\n   no WHERE: ${formatCount(rows)} payments are ruined, and nobody notices for a while`,
          ),
        found: ({ transaction, read, milliseconds }) => {
          facts['damage'] = { xid: transaction.xid, commitTime: formatCommitTime(transaction.commitTime) };
          const rows = transaction.tables.reduce((sum, table) => sum + table.rows.updates, 0);
          say(
            `7. the log finds it among ${formatCount(read)} transactions that updated payments: xid ${transaction.xid} updated ${formatCount(rows)} rows at ${formatCommitTime(transaction.commitTime)}        ${formatDuration(milliseconds)}`,
          );
        },
        restored: ({ to, report }) => {
          facts['restored'] = report;
          say(
            `8. restored the moment before it (--to ${to} --exclusive): ${formatCount(report.tables)} tables, ${formatCount(report.rows)} rows of the snapshot, ${formatCount(report.changes?.applied ?? 0)} changes after it        ${formatDuration(report.milliseconds)}`,
          );
        },
        compared: ({ tables, same, milliseconds }) => {
          facts['compared'] = { tables, same };
          say(
            `9. compared with the content just before the disaster: ${same} of ${tables} tables are identical        ${formatDuration(milliseconds)}`,
          );
        },
        oneTable: ({ rows, changes, milliseconds }) =>
          say(
            `10. brought back one table alone, as it was then: market.payments, ${formatCount(rows)} rows and ${formatCount(changes)} changes        ${formatDuration(milliseconds)}`,
          ),
        kept: async ({ source, restored, repository }) => {
          say(
            `\nKept running until ^C, capture too:\n  broken source   ${source}\n  restored        ${restored}\n  repository      ${repository}`,
          );
          say(`  try:  tidemark log --repository ${repository}`);
          await once(signal, 'abort');
        },
      },
    });
    terminal.result({ demo: facts }, [
      '',
      'Your own database, from its URL alone:',
      "  export DATABASE_URL='postgresql://user:password@host:5432/database'",
      '  npm run --silent tidemark -- snapshot --repository ./backups',
      '  npm run --silent tidemark -- restore  --repository ./backups --target postgresql://… --create',
      'and any moment of it:',
      '  npm run --silent tidemark -- init --capture --repository ./backups',
      '  npm run --silent tidemark -- capture --repository ./backups',
    ]);
  });
}

function scale(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 100))
    throw new Failure('usage.invalid', '--scale takes a number above 0, up to 100');
  return value;
}
