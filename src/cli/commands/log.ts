import { Option } from 'commander';
import type { Command } from 'commander';
import { logJob } from '../../app/log-job.ts';
import { ROW_KINDS } from '../../archive/transaction-columns.ts';
import type { LoggedTransaction, RowKind, TableChanges } from '../../history/read-log.ts';
import { LogSummary } from '../../history/summary.ts';
import { formatCommitTime } from '../../model/commit-time.ts';
import { displayRelation } from '../../model/identifiers.ts';
import { formatLsn } from '../../model/lsn.ts';
import { formatCount } from '../../model/quantities.ts';
import type { CommandContext } from '../context.ts';
import { repeated } from '../options.ts';
import { table } from '../terminal.ts';

export function addLogCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('log')
    .description('which transactions changed which tables, from the stored change streams')
    .addOption(repeated('-t, --table <PATTERN>', 'only transactions that changed such a table'))
    .addOption(
      new Option('--kind <KIND...>', 'only rows of this kind').choices([...ROW_KINDS]).default([], 'all'),
    )
    .option('--from <T>', 'commits at or after a time, or lsn:…')
    .option('--to <T>', 'commits up to a time, or lsn:…')
    .option('--timezone <NAME>', 'of times without a zone, like Europe/Berlin')
    .option('--summary', 'add the rows up, table by table', false);
  run.action(command, async ({ settings, terminal, signal, options }) => {
    const isSummary = options['summary'] === true;
    const summary = new LogSummary();
    await logJob(settings, {
      tables: options['table'] as string[],
      kinds: options['kind'] as RowKind[],
      from: options['from'] as string | undefined,
      to: options['to'] as string | undefined,
      timeZone: options['timezone'] as string | undefined,
      signal,
      onTransaction: (transaction, stream) => {
        if (isSummary) summary.add(transaction);
        else terminal.line(transactionDocument(transaction, stream), transactionLine(transaction));
      },
    });
    if (isSummary) terminal.result(summaryDocument(summary), summaryLines(summary));
  });
}

function transactionDocument(transaction: LoggedTransaction, stream: string): Record<string, unknown> {
  const { xid, commitLsn, endLsn, commitTime, messages, bytes, tables } = transaction;
  return {
    stream,
    xid,
    commitLsn: formatLsn(commitLsn),
    endLsn: formatLsn(endLsn),
    commitTime: formatCommitTime(commitTime),
    messages,
    bytes,
    tables,
  };
}

function transactionLine({ xid, commitLsn, commitTime, messages, tables }: LoggedTransaction): string {
  const parts = tables.map((changes) => `${displayRelation(changes)} ${rowsText(changes)}`);
  if (messages > 0) parts.push(`${messages} message(s)`);
  return `${formatCommitTime(commitTime)}  lsn:${formatLsn(commitLsn)}  xid:${xid}  ${parts.join(', ')}`;
}

/** `+3 ~2 -1`: inserted, updated, deleted rows. */
function rowsText({ rows }: TableChanges): string {
  const marks = { inserts: '+', updates: '~', deletes: '-', truncates: 'truncated ×' } as const;
  return ROW_KINDS.filter((kind) => rows[kind] > 0)
    .map((kind) => `${marks[kind]}${formatCount(rows[kind])}`)
    .join(' ');
}

function summaryDocument(summary: LogSummary): Record<string, unknown> {
  const tables = summary.tables.map(({ first, last, ...changes }) => ({
    ...changes,
    first: formatCommitTime(first),
    last: formatCommitTime(last),
  }));
  return { transactions: summary.transactions, tables };
}

function summaryLines(summary: LogSummary): string[] {
  const rows = summary.tables.map(({ rows, transactions, first, last, ...relation }) => [
    displayRelation(relation),
    formatCount(transactions),
    ...ROW_KINDS.map((kind) => formatCount(rows[kind])),
    formatCommitTime(first),
    formatCommitTime(last),
  ]);
  return [
    `${formatCount(summary.transactions)} transactions`,
    ...(rows.length === 0
      ? []
      : table(
          ['TABLE', 'TRANSACTIONS', 'INSERTED', 'UPDATED', 'DELETED', 'TRUNCATED', 'FIRST', 'LAST'],
          rows,
        )),
  ];
}
