import type { Command } from 'commander';
import { listJob } from '../../app/list-job.ts';
import type { ListedSnapshot, Listing } from '../../app/list-job.ts';
import { describeLimited } from '../../catalog/tables.ts';
import { FAILURE_CODES } from '../../model/failure-codes.ts';
import { displayRelation } from '../../model/identifiers.ts';
import { formatBytes, formatCount } from '../../model/quantities.ts';
import type { CommandContext } from '../context.ts';
import { NOT_AUTHENTICATED, table } from '../terminal.ts';

export function addListCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('list')
    .description('list snapshots, change streams, recovery windows and gaps of the repository')
    .option('--all-sources', 'of every source, not only the configured one', false);
  run.action(command, async ({ settings, terminal, signal, options }) => {
    const listed = await listJob(settings, { allSources: options['allSources'] === true, signal });
    const authenticated = settings.trust() !== undefined;
    terminal.result({ ok: listed.refused.length === 0, ...listed, authenticated }, [
      ...(listed.snapshots.length === 0
        ? [`no snapshots in ${listed.repositories.join(' or ')}`]
        : table(
            [
              'SNAPSHOT',
              'SOURCE',
              'SHOWS',
              'SCOPE',
              'TABLES',
              'ROWS',
              'STORED',
              'ENGINE',
              ...several(listed, 'IN'),
            ],
            listed.snapshots.map((entry) => [...row(entry), ...several(listed, entry.repository)]),
          )),
      ...(authenticated || listed.snapshots.length === 0 ? [] : [NOT_AUTHENTICATED]),
      ...historyLines(listed),
      ...listed.absent.map((location) => `no repository at ${location}, where one is configured`),
      ...listed.refused.map(({ message, code }) => `REFUSED: ${message} (${code})`),
      ...listed.unfinished.map(
        (folder) =>
          `unfinished: ${folder.id}${several(listed, ` in ${folder.repository}`).join('')} (${formatBytes(folder.storedBytes)} left by a run that did not end; it does not count)`,
      ),
    ]);
    if (listed.refused.length > 0) process.exitCode = FAILURE_CODES['integrity.unsigned'].exit;
  });
}

/** What tells repositories apart, where there are several. */
function several({ repositories }: Listing, text: string): string[] {
  return repositories.length > 1 ? [text] : [];
}

/** Nothing, where there is no stream: most of it would only say so. */
function historyLines(listed: Listing): string[] {
  const { streams, windows, gaps, snapshots } = listed;
  if (streams.length === 0 && gaps.length === 0) return [];
  return [
    '',
    ...streams.map(
      ({ id, source, from, to, latestCommitTime, repository }) =>
        `stream ${id} of ${source}${several(listed, ` in ${repository}`).join('')}: ${from} to ${to}, latest commit ${latestCommitTime ?? 'none yet'}`,
    ),
    ...streams.flatMap(({ limited }) => describeLimited(limited)),
    ...windows.map(
      ({ from, to, fromTime, toTime }) =>
        `window: ${fromTime ?? 'no time'} to ${toTime ?? 'no time'} (${from} to ${to}): every instant can be restored`,
    ),
    ...(windows.length === 0 ? ['no recovery window: no snapshot can be brought forward yet'] : []),
    ...listed.repositories.flatMap((repository) => several(listed, ownWindowLine(listed, repository))),
    ...gaps.map(
      ({ id, reason, from, to, tables }) =>
        `GAP ${id}: ${reason}, ${tables === undefined ? 'all tables' : tables.map(displayRelation).join(', ')}, from ${from.lsn} ${to === undefined ? 'on' : `to ${to.lsn}`}`,
    ),
    ...snapshots
      .filter(({ use }) => use !== 'usable')
      .map(({ id, use, useReason }) =>
        use === 'waiting'
          ? `snapshot ${id} waits for capture to pass it`
          : `snapshot ${id}: its own instant only; ${useReason ?? ''}`,
      ),
  ];
}

function ownWindowLine({ ownWindows }: Listing, repository: string): string {
  const own = ownWindows.filter((window) => window.repository === repository);
  const spans = own.map(({ from, to, fromTime, toTime }) => `${fromTime ?? from} to ${toTime ?? to}`);
  return `of ${repository} alone: ${spans.length === 0 ? 'no recovery window' : spans.join(', ')}`;
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
