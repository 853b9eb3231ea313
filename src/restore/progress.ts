import { quoteLiteral } from '../model/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import { failpoint } from '../runtime/failpoints.ts';

/** SCHEMA and table of our own on a target while a restore is under way (DESIGN §4, names that last). */
const PROGRESS_SCHEMA = 'tidemark_restore';

/**
 * What of one restore is done, kept on the target in the transactions that did it. `id` says which snapshot
 * and which part of it: only the same restore goes on where it stopped.
 */
export class RestoreProgress {
  readonly id: string;
  readonly #done: Set<string>;
  #outcome: string | undefined;

  private constructor(id: string, done: Set<string>, outcome: string | undefined) {
    this.id = id;
    this.#done = done;
    this.#outcome = outcome;
  }

  /** Which restore the target is in the middle of, if any. */
  static async find(connection: Connection): Promise<string | undefined> {
    const [exists] = await connection.query<{ exists: boolean }>(
      `SELECT to_regclass('${PROGRESS_SCHEMA}.restore') IS NOT NULL AS "exists"`,
    );
    if (exists?.exists !== true) return undefined;
    const [row] = await connection.query<{ id: string }>(`SELECT id FROM ${PROGRESS_SCHEMA}.restore LIMIT 1`);
    return row?.id;
  }

  /** Starts, or reads how far the same restore came. */
  static async open(connection: Connection, id: string): Promise<RestoreProgress> {
    await failpoint('restore.cleaned');
    await connection.execute(sqlFile('target/progress'));
    await connection.query(`INSERT INTO ${PROGRESS_SCHEMA}.restore (id) VALUES ($1) ON CONFLICT DO NOTHING`, [
      id,
    ]);
    const rows = await connection.query<{ item: string }>(
      `SELECT item FROM ${PROGRESS_SCHEMA}.progress WHERE restore = $1`,
      [id],
    );
    const [kept] = await connection.query<{ outcome: string | null }>(
      `SELECT outcome FROM ${PROGRESS_SCHEMA}.restore WHERE id = $1`,
      [id],
    );
    return new RestoreProgress(id, new Set(rows.map((row) => row.item)), kept?.outcome ?? undefined);
  }

  static async remove(connection: Connection): Promise<void> {
    await connection.execute(`DROP SCHEMA IF EXISTS ${PROGRESS_SCHEMA} CASCADE`);
  }

  get started(): boolean {
    return this.#done.size > 0;
  }

  has(item: string): boolean {
    return this.#done.has(item);
  }

  /** What a step has answered that is not done again. */
  get outcome(): string | undefined {
    return this.#outcome;
  }

  /** Records a step as done, and what it has answered. */
  async keepOutcome(
    connection: Connection,
    done: { readonly item: string; readonly outcome: string },
  ): Promise<void> {
    await connection.query(
      `WITH kept AS (UPDATE ${PROGRESS_SCHEMA}.restore SET outcome = $3 WHERE id = $1)
       INSERT INTO ${PROGRESS_SCHEMA}.progress (restore, item) VALUES ($1, $2)`,
      [this.id, done.item, done.outcome],
    );
    this.#outcome = done.outcome;
    this.committed([done.item]);
  }

  /** SQL that records items as done, for the transaction that does them. Items are ours: words and numbers. */
  record(items: readonly string[]): string {
    const values = items.map((item) => `(${quoteLiteral(this.id)}, ${quoteLiteral(item)})`).join(', ');
    return `INSERT INTO ${PROGRESS_SCHEMA}.progress (restore, item) VALUES ${values}`;
  }

  /** To be called when that transaction has committed. */
  committed(items: readonly string[]): void {
    for (const item of items) this.#done.add(item);
  }
}
