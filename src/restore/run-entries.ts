import { Failure, throwIfAborted } from '../model/failure.ts';
import type { Connection } from '../postgres/connection.ts';
import { failpoint } from '../runtime/failpoints.ts';
import type { RestoreProgress } from './progress.ts';
import type { SchemaEntry } from './schema-script.ts';
import type { Task } from './share-out.ts';

export interface RunOptions {
  readonly progress: RestoreProgress;
  readonly signal: AbortSignal;
  readonly onEntry: (entry: SchemaEntry) => void;
}

/** Entries of one transaction: few commits, and far from the lock table's limit. */
const ENTRIES_PER_TRANSACTION = 50;
/** A deadlock between two ALTER TABLE … ADD FOREIGN KEY is rolled back whole and can be tried again. */
const DEADLOCK = '40P01';
const MOST_TRIES = 5;
/** A row without what it references: the source had it, by a session without triggers or a key that was off. */
const FOREIGN_KEY_VIOLATION = '23503';
/** NOT VALID on a partitioned table, up to 17. */
const WRONG_OBJECT_TYPE = '42809';

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

/**
 * Entries that do not need each other, one transaction each. Those that are done already are left out. A foreign key
 * that rows break is made NOT VALID.
 */
export function entryTasks(
  entries: readonly SchemaEntry[],
  options: RunOptions & { readonly isReady?: (entry: SchemaEntry) => boolean },
): Task[] {
  return entries
    .filter((entry) => !options.progress.has(item(entry)))
    .map((entry) => ({
      isReady: () => options.isReady?.(entry) !== false,
      run: (connection) => runAgainAfterDeadlock(connection, entry, options),
    }));
}

/** What follows the data, in the order of its needs: within one field entries are independent. */
export interface PostData {
  /** Each needs the rows of its own table only. */
  readonly indexes: readonly SchemaEntry[];
  readonly attachments: readonly SchemaEntry[];
  readonly foreignKeys: readonly SchemaEntry[];
  readonly rest: readonly SchemaEntry[];
  /** What would run, or be told, when definitions change. */
  readonly last: readonly SchemaEntry[];
}

/** Whether rows are found by it: a key that changes are applied by. */
export function isKey(entry: SchemaEntry): boolean {
  return entry.type === 'CONSTRAINT' || entry.sql.includes('REPLICA IDENTITY');
}

export function partPostData(entries: readonly SchemaEntry[]): PostData {
  const indexes = entries.filter((entry) => entry.type === 'INDEX' || entry.type === 'CONSTRAINT');
  const foreignKeys = entries.filter((entry) => entry.type === 'FK CONSTRAINT');
  const attachments = entries.filter((entry) => entry.type === 'INDEX ATTACH');
  const last = entries.filter((entry) => isEventTrigger(entry));
  const early = new Set([...indexes, ...foreignKeys, ...attachments, ...last]);
  return { indexes, attachments, foreignKeys, rest: entries.filter((entry) => !early.has(entry)), last };
}

function isEventTrigger({ type, name }: SchemaEntry): boolean {
  return type === 'EVENT TRIGGER' || (type === 'COMMENT' && name.startsWith('EVENT TRIGGER '));
}

async function runTransaction(
  connection: Connection,
  entries: readonly SchemaEntry[],
  options: RunOptions,
): Promise<void> {
  const items = entries.flatMap((entry) => [item(entry), ...(isWeak(entry) ? [weakItem(entry)] : [])]);
  await connection.execute('BEGIN');
  for (const entry of entries) {
    await runEntry(connection, entry);
    options.onEntry(entry);
  }
  await failpoint('restore.entries-unrecorded');
  await connection.execute(options.progress.record(items));
  await connection.commit();
  await failpoint('restore.entries-committed');
  options.progress.committed(items);
}

async function runAgainAfterDeadlock(
  connection: Connection,
  asked: SchemaEntry,
  options: RunOptions,
): Promise<void> {
  let entry = asked;
  for (let tries = 1; ; tries += 1) {
    try {
      await runTransaction(connection, [entry], options);
      await failpoint('restore.entry-made');
      return;
    } catch (error) {
      const sqlstate = error instanceof Failure ? error.facts['sqlstate'] : undefined;
      const weaker = weakerThan(entry, sqlstate);
      if ((sqlstate !== DEADLOCK || tries === MOST_TRIES) && weaker === undefined) throw error;
      await connection.execute('ROLLBACK');
      if (weaker !== undefined) entry = weaker;
    }
  }
}

/**
 * A foreign key that rows break is made without a check of them, or not at all: it must not keep the rest from coming
 * back. `foreignKeyViolations` tells of it.
 */
function weakerThan(entry: SchemaEntry, sqlstate: unknown): WeakEntry | undefined {
  if (entry.type !== 'FK CONSTRAINT') return undefined;
  const isValid = !entry.sql.includes('NOT VALID');
  if (sqlstate === FOREIGN_KEY_VIOLATION && isValid)
    return { ...entry, weakened: true, sql: entry.sql.replace(/;(\s*)$/, ' NOT VALID;$1') };
  return sqlstate === WRONG_OBJECT_TYPE && !isValid ? { ...entry, weakened: true, sql: '' } : undefined;
}

type WeakEntry = SchemaEntry & { readonly weakened: true };

function isWeak(entry: SchemaEntry): entry is WeakEntry {
  return 'weakened' in entry;
}

/** Recorded beside the entry itself when rows broke a foreign key that was valid on the source. */
export function weakItem(entry: SchemaEntry): string {
  return `weak:${entry.dumpId}`;
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
