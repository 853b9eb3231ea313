import type { Command } from 'commander';
import { findStreamJob, segmentAddress, showSegmentJob } from '../../app/log-job.ts';
import type { StreamFound } from '../../app/log-job.ts';
import { showJob } from '../../app/list-job.ts';
import type { Manifest } from '../../archive/manifest.ts';
import { displayRelation } from '../../model/identifiers.ts';
import { formatBytes, formatCount } from '../../model/quantities.ts';
import type { CommandContext } from '../context.ts';
import { table } from '../terminal.ts';

export function addShowCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('show')
    .description(
      'show what a snapshot holds and does not; what a stream says of itself; a segment’s changes as text',
    )
    .argument('<what>', 'a snapshot’s id, latest, a stream’s id, or a segment: STREAM/FROM-TO.tar');
  run.action(command, async ({ settings, terminal, signal, args }) => {
    const segment = segmentAddress(args[0] ?? '');
    if (segment !== undefined) {
      const write = (text: string): void => terminal.line({ text }, text);
      return showSegmentJob(settings, { ...segment, signal, write });
    }
    const stream = await findStreamJob(settings, { stream: args[0] ?? '', signal });
    if (stream !== undefined) return terminal.result({ stream }, streamLines(stream));
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

function streamLines({ document, covered, segments, chapters, latestCommitTime }: StreamFound): string[] {
  const { server } = document;
  return [
    `stream      ${document.id} of source ${document.source}, slot ${document.slot}`,
    `began       ${document.startedAt} at ${document.start}`,
    `server      ${server.databaseName}, PostgreSQL ${Math.floor(server.version / 10_000)}, system ${server.systemIdentifier}, timeline ${server.timeline}`,
    `stored      ${covered.map(({ from, to }) => `${from} to ${to}`).join(', then ')}; latest commit ${latestCommitTime ?? 'none yet'}`,
    `objects     ${formatCount(chapters)} chapters, ${formatCount(segments)} segments behind the last one`,
    `published   ${document.publications.map(({ name }) => name).join(', ')}`,
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
