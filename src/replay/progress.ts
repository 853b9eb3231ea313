import { Failure } from '../model/failure.ts';
import { formatLsn, parseLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';

/** Everything before it is on the target: whole transactions, and the first `changes` of one that is not whole. */
export interface ReplayPosition {
  readonly commitLsn: Lsn;
  readonly changes: number;
  readonly whole: boolean;
  /** Rows changed and truncates so far, by all runs. */
  readonly applied: number;
}

const LOCK = "hashtextextended('tidemark replay ' || $1, 0)";

/**
 * How far a replay came, kept on the target in the transactions that brought it there: a killed one goes on just
 * where it stopped (REPLICATION H4). One session at a time: the next waits until the server has ended the last.
 */
export class ReplayProgress implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #id: string;
  #position: ReplayPosition;

  private constructor(connection: Connection, id: string, position: ReplayPosition) {
    this.#connection = connection;
    this.#id = id;
    this.#position = position;
  }

  static async open(connection: Connection, id: string): Promise<ReplayProgress> {
    await lock(connection, id);
    await connection.execute(sqlFile('target/replay-progress'));
    await connection.query('INSERT INTO tidemark_restore.replay (id) VALUES ($1) ON CONFLICT DO NOTHING', [
      id,
    ]);
    const [row] = await connection.query<{ lsn: string; changes: string; whole: boolean; applied: string }>(
      'SELECT commit_lsn::text AS "lsn", changes::text AS "changes", whole AS "whole", applied::text AS "applied" FROM tidemark_restore.replay WHERE id = $1',
      [id],
    );
    const commitLsn = parseLsn(row?.lsn ?? '');
    if (row === undefined || commitLsn === undefined)
      throw new Failure('target.error', 'the target does not keep the progress of the replay');
    const { whole } = row;
    const counts = { changes: Number(row.changes), applied: Number(row.applied) };
    return new ReplayProgress(connection, id, { commitLsn, whole, ...counts });
  }

  /** As committed, once what `move` gave is done. */
  get position(): ReplayPosition {
    return this.#position;
  }

  /** What moves the record within the open transaction and commits that; each is to be done, in order. */
  move(position: ReplayPosition): () => Promise<void> {
    const before = this.#position;
    this.#position = position;
    return () => this.#commit(before, position);
  }

  async #commit(before: ReplayPosition, position: ReplayPosition): Promise<void> {
    const moved = await this.#connection.change(
      `UPDATE tidemark_restore.replay SET commit_lsn = $2::pg_lsn, changes = $3::bigint, whole = $4::bool, applied = $8::bigint, updated_at = now()
        WHERE id = $1 AND commit_lsn = $5::pg_lsn AND changes = $6::bigint AND whole = $7::bool`,
      [
        this.#id,
        formatLsn(position.commitLsn),
        position.changes,
        position.whole,
        formatLsn(before.commitLsn),
        before.changes,
        before.whole,
        position.applied,
      ],
    );
    if (moved !== 1) {
      throw new Failure('target.half_done', 'another session replays into this target', {
        remedy: 'let the other end, then run the same restore again',
      });
    }
    await this.#connection.commit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A lost session has lost its lock as well.
    await this.#connection.query(`SELECT pg_advisory_unlock(${LOCK})`, [this.#id]).catch(() => undefined);
  }
}

async function lock(connection: Connection, id: string): Promise<void> {
  await connection.execute("SET lock_timeout = '60s'");
  try {
    await connection.query(`SELECT pg_advisory_lock(${LOCK})`, [id]);
  } catch (error) {
    if (!(error instanceof Failure) || error.facts['sqlstate'] !== '55P03') throw error;
    throw new Failure('target.half_done', 'another session replays into this target', {
      remedy: 'let the other end, then run the same restore again',
      cause: error,
    });
  }
  await connection.execute('SET lock_timeout = 0');
}
