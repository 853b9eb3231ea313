import type { Command } from 'commander';
import { showJob } from '../../app/list-job.ts';
import type { Manifest } from '../../archive/manifest.ts';
import { displayRelation } from '../../model/identifiers.ts';
import { formatBytes, formatCount } from '../../model/quantities.ts';
import type { CommandContext } from '../context.ts';
import { table } from '../terminal.ts';

export function addShowCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('show')
    .description('show what a snapshot holds, and what it does not')
    .argument('<id>', 'a snapshot’s id, or latest');
  run.action(command, async ({ settings, terminal, signal, args }) => {
    const manifest = await showJob(settings, { target: args[0] ?? 'latest', signal });
    const authenticated = settings.trust() !== undefined;
    terminal.result({ manifest, authenticated }, showLines(manifest, authenticated));
  });
}

function showLines(manifest: Manifest, authenticated: boolean): string[] {
  const { server, totals } = manifest;
  const rows = manifest.tables
    .filter((entry) => entry.data !== 'excluded')
    .sort((a, b) => Number(BigInt(b.copyBytes) - BigInt(a.copyBytes)))
    .map((entry) => [
      displayRelation(entry),
      formatCount(BigInt(entry.rows)),
      formatBytes(Number(entry.copyBytes)),
      formatBytes(Number(entry.storedBytes)),
      formatCount(entry.ranges),
    ]);
  return [
    `snapshot    ${manifest.id} of source ${manifest.source}, engine ${manifest.engine}`,
    `shows       ${server.databaseName} as of ${manifest.instant} (WAL position ${manifest.tie.kind === 'position' ? manifest.tie.lsn : manifest.tie.upper})`,
    `server      PostgreSQL ${server.versionText}, ${server.encoding}, profile ${server.profile}`,
    `scope       ${scopeText(manifest)}`,
    `stored      ${formatBytes(Number(totals.storedBytes))} of ${formatBytes(Number(totals.copyBytes))} COPY data (${manifest.copyFormat}, ${manifest.compression}), ${manifest.encryptedTo.length === 0 ? 'not encrypted' : `encrypted to ${manifest.encryptedTo.length} recipient(s)`}, ${authenticated ? 'signed by a trusted key' : 'not authenticated'}`,
    `previous    ${manifest.previous?.id ?? 'none'}`,
    '',
    ...table(['TABLE', 'ROWS', 'COPY DATA', 'STORED', 'RANGES'], rows),
    '',
    'not in it, or not as it was:',
    ...manifest.coverage.flatMap((entry) => [
      `  ${entry.kind}: ${entry.note}`,
      ...entry.objects.slice(0, 20).map((object) => `    ${object}`),
      ...(entry.objects.length > 20 ? [`    … and ${entry.objects.length - 20} more`] : []),
    ]),
  ];
}

function scopeText({ scope }: Manifest): string {
  if (scope.kind === 'whole') return 'whole database';
  const parts = [
    ...scope.tables.map((pattern) => `table ${pattern}`),
    ...scope.schemas.map((pattern) => `schema ${pattern}`),
    ...scope.exclude.map((pattern) => `without ${pattern}`),
  ];
  return parts.join(', ');
}
