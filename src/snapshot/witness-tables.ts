import { Failure, throwIfAborted } from '../model/failure.ts';
import { quoteRelation } from '../model/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import type { Relation } from '../postgres/inventory.ts';
import { digestStatement, readDigest } from '../witness/digest-statement.ts';
import type { TableDigest } from '../witness/digest-statement.ts';
import { importSnapshot } from './keeper.ts';
import type { Prepared } from './prepared.ts';

export interface DigestedRelation {
  readonly relation: Relation;
  readonly digest: TableDigest;
  readonly milliseconds: number;
}

export interface LeftRelation {
  readonly relation: Relation;
  /** The time was over; someone waits for its lock; a row has more text than the server can hold in one value. */
  readonly reason: 'time' | 'locked' | 'too-long';
}

export interface DigestedTables {
  readonly digested: readonly DigestedRelation[];
  readonly left: readonly LeftRelation[];
}

/** What the server says when a row's text is longer than a value may be: 54000, or XX000 from palloc(). */
const TOO_LONG = new Set(['54000', 'XX000']);

/**
 * Digests tables in the order given, under the snapshot that `prepared` holds, by `jobs` connections, until `endsAt`
 * (performance.now()): what is under way then is cancelled. Each table is locked only while it is read.
 */
export async function digestTables(
  prepared: Prepared,
  how: {
    readonly tables: readonly Relation[];
    readonly jobs: number;
    readonly endsAt: number;
    readonly signal: AbortSignal;
    readonly onTable: (done: DigestedRelation | LeftRelation) => void;
  },
): Promise<DigestedTables> {
  const queue = how.tables.values();
  const digested: DigestedRelation[] = [];
  const left: LeftRelation[] = [];
  const worker = async (): Promise<void> => {
    await using connection = await prepared.sessions.open();
    await importSnapshot(connection, prepared.snapshot);
    await connection.execute('SAVEPOINT digest');
    for (let relation = queue.next().value; relation !== undefined; relation = queue.next().value) {
      throwIfAborted(how.signal);
      const done = await digestTable(connection, { relation, prepared, endsAt: how.endsAt });
      await connection.execute('ROLLBACK TO SAVEPOINT digest');
      if ('digest' in done) digested.push(done);
      else left.push(done);
      how.onTable(done);
    }
  };
  const workers = Array.from({ length: Math.min(how.jobs, Math.max(1, how.tables.length)) }, worker);
  for (const one of workers) one.catch(prepared.failed);
  await Promise.allSettled(workers);
  await Promise.all(workers);
  return { digested, left };
}

async function digestTable(
  connection: Connection,
  what: { readonly relation: Relation; readonly prepared: Prepared; readonly endsAt: number },
): Promise<DigestedRelation | LeftRelation> {
  const { relation } = what;
  const started = performance.now();
  const remaining = Math.floor(what.endsAt - started);
  if (remaining <= 0) return { relation, reason: 'time' };
  try {
    await connection.execute(`LOCK TABLE ONLY ${quoteRelation(relation)} IN ACCESS SHARE MODE NOWAIT`);
    await connection.execute(`SET LOCAL statement_timeout = ${Math.min(remaining, MAX_TIMEOUT_MS)}`);
    const table = { ...relation, condition: relation.condition?.trim() || undefined };
    const [row] = await connection.query<{ rows: string; lanes: string[] }>(
      digestStatement(table, what.prepared.facts.encoding),
    );
    if (row === undefined) throw new Failure('source.error', 'the server answered no digest');
    return { relation, digest: readDigest(row), milliseconds: Math.round(performance.now() - started) };
  } catch (error) {
    const reason = error instanceof Failure ? reasonOf(String(error.facts['sqlstate'])) : undefined;
    if (reason === undefined) throw error;
    return { relation, reason };
  }
}

/** statement_timeout is an int4. */
const MAX_TIMEOUT_MS = 2_147_483_647;

function reasonOf(sqlstate: string): LeftRelation['reason'] | undefined {
  if (sqlstate === '57014') return 'time';
  if (sqlstate === '55P03') return 'locked';
  return TOO_LONG.has(sqlstate) ? 'too-long' : undefined;
}
