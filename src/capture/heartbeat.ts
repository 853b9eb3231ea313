import { randomBytes } from 'node:crypto';
import { displayRelation } from '../model/identifiers.ts';
import { parseLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { Failure } from '../model/failure.ts';
import type { Connection } from '../postgres/connection.ts';
import { answerInTime } from '../postgres/pulse.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { heartbeatMessage } from './own-messages.ts';
import type { Beats } from './own-messages.ts';

/** Others write: the newest heartbeat bounds where a snapshot's replay begins. Nobody does: it keeps the slot moving. */
const BUSY_MS = 5000;
const IDLE_MS = 60_000;
/** A thousand sequences in each beat would be 520 MB of WAL a day. */
const SEQUENCES_MS = 60_000;
/** An hour's worth, of a busy source. */
const MOST_REMEMBERED = 720;

/**
 * Writes a transaction of ours into the source from time to time. What it is worth stays in this process' memory, under a
 * nonce, until the transaction comes back in the stream (P12). One for the life of the program.
 */
export class Heartbeat {
  readonly #beats: Beats;
  readonly #sequences = new Map<string, string>();
  #beatAt = -Infinity;
  #sampledAt = -Infinity;
  #ownXid = 0n;
  #committed: { readonly xid: bigint; readonly position: Lsn }[] = [];

  constructor(beats: Beats) {
    this.#beats = beats;
  }

  /** Whether a beat is due. `nextXid`: the first one that nobody has, which tells whether others have written. */
  isDue(now: number, nextXid: bigint): boolean {
    const wait = nextXid > this.#ownXid + 1n ? BUSY_MS : IDLE_MS;
    return now - this.#beatAt >= wait;
  }

  /** One transaction, durable here but waiting for no standby. `publications`: what they were just found to be. */
  async beat(session: Connection, now: number, publications: readonly string[]): Promise<void> {
    const isSample = now - this.#sampledAt >= SEQUENCES_MS;
    const nonce = randomBytes(16).toString('hex');
    const changed = await answerInTime(session, this.#write(session, nonce, { publications, isSample }));
    this.#beatAt = now;
    if (isSample) this.#sampledAt = now;
    // Not before it has committed: what is lost is told again.
    for (const [name, value] of changed) this.#sequences.set(name, value);
    await failpoint('capture.beat-committed');
  }

  /** A session begins, perhaps on another server: what was committed on the one before says nothing of it. */
  startOver(): void {
    this.#committed = [];
  }

  /** Of the newest beat below an xid, in this session: every transaction with at least this xid committed behind it. */
  boundBelow(xid: bigint): Lsn | undefined {
    return this.#committed.findLast((beat) => beat.xid < xid)?.position;
  }

  /** The sequences that it tells of. */
  async #write(
    session: Connection,
    nonce: string,
    what: { readonly publications: readonly string[]; readonly isSample: boolean },
  ): Promise<ReadonlyMap<string, string>> {
    await session.execute('BEGIN; SET LOCAL synchronous_commit = local');
    // In this order: any transaction with a later xid commits behind this position (REPLICATION C3).
    const [before] = await session.query<{ position: string }>(
      'SELECT pg_current_wal_insert_lsn()::text AS "position"',
    );
    // Behind the position: no transaction that committed before it took a number that is not seen here.
    const changed = what.isSample ? await this.#changedSequences(session) : new Map<string, string>();
    const [mine] = await session.query<{ xid: string; at: string }>(
      `SELECT pg_current_xact_id()::text AS "xid",
              (extract(epoch FROM clock_timestamp() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::int8::text AS "at"`,
    );
    const position = parseLsn(before?.position ?? '');
    if (position === undefined || mine === undefined)
      throw new Failure('source.error', 'the server answered no position');
    const xid = BigInt(mine.xid);
    this.#beats.expect(nonce, { position, xid, at: BigInt(mine.at) });
    const { publications } = what;
    const facts = { publications, ...(what.isSample && { sequences: Object.fromEntries(changed) }) };
    await session.query(`SELECT pg_logical_emit_message(true, 'tidemark:heartbeat', $1::text)`, [
      heartbeatMessage(nonce, { ...facts, xid: mine.xid }),
    ]);
    await failpoint('capture.beat-uncommitted');
    await session.commit();
    this.#ownXid = xid;
    this.#committed = [...this.#committed.slice(1 - MOST_REMEMBERED), { xid, position }];
    return changed;
  }

  async #changedSequences(session: Connection): Promise<Map<string, string>> {
    const found = await session.query<{ schema: string; name: string; value: string }>(
      sqlFile('introspect/sequences'),
    );
    const named = found.map(({ value, ...relation }) => [displayRelation(relation), value] as const);
    return new Map(named.filter(([name, value]) => this.#sequences.get(name) !== value));
  }
}
