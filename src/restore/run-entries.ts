import { Failure, throwIfAborted } from '../model/failure.ts';
import type { Connection } from '../postgres/connection.ts';
import type { RestoreProgress } from './progress.ts';
import type { SchemaEntry } from './schema-script.ts';

interface RunOptions {
  readonly progress: RestoreProgress;
  readonly signal: AbortSignal;
  readonly onEntry: (entry: SchemaEntry) => void;
}

/** Entries of one transaction: few commits, and far from the lock table's limit. */
const ENTRIES_PER_TRANSACTION = 50;
/** A deadlock between two ALTER TABLE … ADD FOREIGN KEY is rolled back whole and can be tried again. */
const DEADLOCK = '40P01';
const MOST_TRIES = 5;

/** Runs entries one after the other, in transactions that also record them. Skips what is done already. */
export async function runInOrder(
  connection: Connection,
  entries: readonly SchemaEntry[],
  options: RunOptions,
): Promise<void> {
  const waiting = entries.filter((entry) => !options.progress.has(item(entry)));
  for (let at = 0; at < waiting.length; at += ENTRIES_PER_TRANSACTION) {
    throwIfAborted(options.signal);
    await runTransaction(connection, waiting.slice(at, at + ENTRIES_PER_TRANSACTION), options);
  }
}

/** Runs entries that do not need each other, one transaction each, on all the connections. */
export async function runParallel(
  connections: readonly Connection[],
  entries: readonly SchemaEntry[],
  options: RunOptions,
): Promise<void> {
  const queue = entries.filter((entry) => !options.progress.has(item(entry))).values();
  const worker = async (connection: Connection): Promise<void> => {
    for (const entry of queue) {
      throwIfAborted(options.signal);
      await runAgainAfterDeadlock(connection, entry, options);
    }
  };
  const workers = connections.map((connection) => worker(connection));
  await Promise.allSettled(workers);
  await Promise.all(workers);
}

/** Stages of post-data: within one, entries are independent; a later one may need all earlier ones. */
export function stages(entries: readonly SchemaEntry[]): { parallel: boolean; entries: SchemaEntry[] }[] {
  const indexes = entries.filter((entry) => entry.type === 'INDEX' || entry.type === 'CONSTRAINT');
  const foreignKeys = entries.filter((entry) => entry.type === 'FK CONSTRAINT');
  const attachments = entries.filter((entry) => entry.type === 'INDEX ATTACH');
  const early = new Set([...indexes, ...foreignKeys, ...attachments]);
  return [
    { parallel: true, entries: indexes },
    { parallel: false, entries: attachments },
    { parallel: true, entries: foreignKeys },
    { parallel: false, entries: entries.filter((entry) => !early.has(entry)) },
  ];
}

async function runTransaction(
  connection: Connection,
  entries: readonly SchemaEntry[],
  options: RunOptions,
): Promise<void> {
  const items = entries.map((entry) => item(entry));
  await connection.execute('BEGIN');
  for (const entry of entries) {
    await runEntry(connection, entry);
    options.onEntry(entry);
  }
  await connection.execute(options.progress.record(items));
  await connection.commit();
  options.progress.committed(items);
}

async function runAgainAfterDeadlock(
  connection: Connection,
  entry: SchemaEntry,
  options: RunOptions,
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await runTransaction(connection, [entry], options);
      return;
    } catch (error) {
      if (!(error instanceof Failure) || error.facts['sqlstate'] !== DEADLOCK || tries === MOST_TRIES)
        throw error;
      await connection.execute('ROLLBACK');
    }
  }
}

async function runEntry(connection: Connection, entry: SchemaEntry): Promise<void> {
  if (entry.sql === '') return;
  const method =
    entry.tableAccessMethod === undefined
      ? ''
      : `SET LOCAL default_table_access_method = ${entry.tableAccessMethod};\n`;
  try {
    await connection.execute(method + entry.sql);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(error.code, `${entry.type.toLowerCase()} ${entry.name}: ${error.message}`, {
      facts: { ...error.facts, entry: entry.dumpId, type: entry.type },
      remedy: error.remedy,
      cause: error,
    });
  }
}

function item(entry: SchemaEntry): string {
  return `entry:${entry.dumpId}`;
}
