import { Failure, throwIfAborted } from '../model/failure.ts';
import type { FailureCode } from '../model/failure-codes.ts';
import type { CatalogReader } from './inventory.ts';
import { sourceSql } from './source-sql.ts';
import { sqlFile } from './sql-file.ts';

/** sql/introspect/slot.sql */
export interface Slot {
  readonly name: string;
  readonly plugin: string | null;
  readonly type: 'logical' | 'physical';
  readonly database: string | null;
  readonly temporary: boolean;
  readonly activePid: number | null;
  /** Null when the session is another role's and ours may not see it. */
  readonly activeApplication: string | null;
  readonly activeUser: string | null;
  readonly restartLsn: string | null;
  readonly confirmedFlushLsn: string | null;
  readonly walStatus: 'reserved' | 'extended' | 'unreserved' | 'lost' | null;
  readonly safeWalSize: string | null;
  readonly invalidationReason: string | null;
  readonly failover: boolean;
}

/** sql/introspect/old-transactions.sql */
interface OldTransaction {
  readonly xid: string;
  /** Null: a prepared transaction. */
  readonly pid: number | null;
  readonly user: string | null;
  readonly application: string | null;
  readonly prepared: string | null;
  readonly ageMs: string | null;
}

export async function readSlot(reader: CatalogReader, name: string): Promise<Slot | undefined> {
  return (await reader.query<Slot>(sqlFile('introspect/slot'), [name]))[0];
}

function readOldTransactions(reader: CatalogReader): Promise<OldTransaction[]> {
  return reader.query<OldTransaction>(sqlFile('introspect/old-transactions'));
}

/** Whether nothing can be streamed from a slot any more. */
export function isSlotLost(slot: Slot): boolean {
  return slot.walStatus === 'lost' || slot.invalidationReason !== null;
}

const SQLSTATE = {
  notPermitted: '42501',
  limitExceeded: '53400',
  notInState: '55000',
  inUse: '55006',
  cancelled: '57014',
} as const;

/**
 * Makes the slot: logical, pgoutput, no snapshot exported. Waits at most `timeoutMs` for transactions that have an xid,
 * anywhere in the cluster; what was begun by then is gone again. Fails with `source.old_transaction`, which names
 * who held it up, `source.no_replication`, `source.no_slot` or `source.wal_level`.
 */
export async function createSlot(
  reader: CatalogReader,
  slot: { readonly name: string; readonly failover: boolean; readonly timeoutMs: number },
): Promise<void> {
  await reader.query(`SELECT set_config('statement_timeout', $1, false)`, [String(slot.timeoutMs)]);
  try {
    await reader.query(sourceSql(slot.failover ? 'slot-failover' : 'slot', { slot: slot.name }));
  } catch (error) {
    const failure = slotFailure(error);
    if (!isSqlState(failure, SQLSTATE.cancelled)) throw failure;
    throw heldUp(await readOldTransactions(reader), slot.timeoutMs);
  } finally {
    await reader.query(`SELECT set_config('statement_timeout', '0', false)`).catch(() => undefined);
  }
}

/**
 * Waits until every transaction that has an xid now has ended, at most `timeoutMs`: a slot could not be made
 * before. Tells of the oldest one each second. Fails with `source.old_transaction`.
 */
export async function awaitOldTransactions(
  reader: CatalogReader,
  options: {
    readonly timeoutMs: number;
    readonly onWait: (oldest: string) => void;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const started = performance.now();
  let old = await readOldTransactions(reader);
  const awaited = new Set(old.map((transaction) => transaction.xid));
  for (let round = 1; old.length > 0; round += 1) {
    throwIfAborted(options.signal);
    if (performance.now() - started > options.timeoutMs) throw heldUp(old, options.timeoutMs);
    if (round % 10 === 0 && old[0] !== undefined) options.onWait(describeTransaction(old[0]));
    await new Promise((resolve) => setTimeout(resolve, 100));
    old = (await readOldTransactions(reader)).filter((transaction) => awaited.has(transaction.xid));
  }
}

/** Fails with `source.slot_in_use` while somebody streams from it. */
export async function dropSlot(reader: CatalogReader, name: string): Promise<void> {
  try {
    await reader.query(sourceSql('slot-drop', { slot: name }));
  } catch (error) {
    const failure = slotFailure(error);
    if (!isSqlState(failure, SQLSTATE.inUse)) throw failure;
    throw new Failure('source.slot_in_use', `somebody streams from slot ${name}`, {
      facts: { slot: name },
      cause: failure,
    });
  }
}

const BY_SQLSTATE = new Map<unknown, FailureCode>([
  [SQLSTATE.notPermitted, 'source.no_replication'],
  [SQLSTATE.limitExceeded, 'source.no_slot'],
  [SQLSTATE.notInState, 'source.wal_level'],
]);

/** What a statement about slots failed for, by SQLSTATE. */
function slotFailure(error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  const code = BY_SQLSTATE.get(error.facts['sqlstate']);
  return code === undefined ? error : new Failure(code, error.message, { facts: error.facts, cause: error });
}

/** Whose transaction is the oldest of the cluster, and how old; undefined when nobody has an xid. */
export async function describeOldestTransaction(reader: CatalogReader): Promise<string | undefined> {
  const [oldest] = await readOldTransactions(reader);
  return oldest && describeTransaction(oldest);
}

function describeTransaction(transaction: OldTransaction): string {
  const { pid, prepared, user, application, ageMs } = transaction;
  const who =
    pid === null ? `the prepared transaction ${JSON.stringify(prepared)}` : `the transaction of pid ${pid}`;
  const more = [user, application].filter((word) => word !== null && word !== '').join(', ');
  const age =
    ageMs === null ? 'of an age that this role can’t see' : `${Math.round(Number(ageMs) / 1000)} s old`;
  return `${who}${more === '' ? '' : ` (${more})`}, ${age}`;
}

function heldUp(transactions: readonly OldTransaction[], timeoutMs: number): Failure {
  const [oldest] = transactions;
  const who = oldest === undefined ? 'a transaction that has ended meanwhile' : describeTransaction(oldest);
  return new Failure(
    'source.old_transaction',
    `the slot can’t be made: ${who}, did not end within ${Math.round(timeoutMs / 1000)} s`,
    {
      facts: {
        pid: oldest?.pid ?? undefined,
        prepared: oldest?.prepared ?? undefined,
        ageMs: oldest?.ageMs === null ? undefined : Number(oldest?.ageMs),
      },
    },
  );
}

function isSqlState(error: unknown, state: string): boolean {
  return error instanceof Failure && error.facts['sqlstate'] === state;
}
