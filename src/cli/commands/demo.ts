import { once } from 'node:events';
import type { Command } from 'commander';
import { demo } from '../../app/demo.ts';
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
    say('Tidemark demo: a rental marketplace loses data and gets it back.\n');
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
        snapshot: ({ manifest, milliseconds }) => {
          facts['snapshot'] = manifest.id;
          const { copyBytes, storedBytes, rows } = manifest.totals;
          say(
            `3. took snapshot ${manifest.id}: ${formatCount(BigInt(rows))} rows, all at one instant        ${formatDuration(milliseconds)}`,
          );
          say(
            `   ${formatBytes(Number(copyBytes))} of data became ${formatBytes(Number(storedBytes))} of archive (${(100 - (100 * Number(storedBytes)) / Number(copyBytes)).toFixed(0)} % saved)`,
          );
        },
        disaster: ({ lost, rows }) =>
          say(
            `4. disaster: ${lost}\n   ${formatCount(rows)} messages, all conversations and the payments are gone`,
          ),
        restored: ({ report }) => {
          facts['restored'] = report;
          say(
            `5. restored everything into a second database: ${formatCount(report.tables)} tables, ${formatCount(report.rows)} rows        ${formatDuration(report.milliseconds)}`,
          );
        },
        compared: ({ tables, same, milliseconds }) => {
          facts['compared'] = { tables, same };
          say(
            `6. compared with the content before the disaster: ${same} of ${tables} tables are identical        ${formatDuration(milliseconds)}`,
          );
        },
        oneTable: ({ rows, milliseconds }) =>
          say(
            `7. brought back one table alone, reading only its bytes: market.payments, ${formatCount(rows)} rows        ${formatDuration(milliseconds)}`,
          ),
        kept: async ({ source, restored, repository }) => {
          say(
            `\nKept running until ^C:\n  broken source   ${source}\n  restored        ${restored}\n  repository      ${repository}`,
          );
          say(`  try:  tidemark list --repository ${repository}`);
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
    ]);
  });
}

function scale(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 100))
    throw new Failure('usage.invalid', '--scale takes a number above 0, up to 100');
  return value;
}
