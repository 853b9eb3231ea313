import type { Lsn } from '../../src/model/lsn.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { rows, session, sql } from '../support/postgres.ts';
import { lsnOf } from '../support/replay.ts';
import { until } from '../support/until.ts';
import { digestOf, digestSession } from './digest.ts';
import type { Digest } from './digest.ts';

/** What PostgreSQL's own apply holds once it is stopped: all that committed up to a position. */
export interface NativePoint {
  /** End of the last commit record that was applied. */
  readonly end: Lsn;
  readonly digest: Digest;
}

/** Values of json and point have no equality, so that its apply can't find rows by them. */
export const NOT_NATIVE: readonly string[] = ['whole'];

/** A subscription of a second server, on the same empty tables. Its slot is its own. */
export class NativeSubscription {
  readonly #url: string;

  private constructor(url: string) {
    this.#url = url;
  }

  static async create(
    source: string,
    target: string,
    server: ThrowawayServer,
    schema: string,
  ): Promise<NativeSubscription> {
    await sql(target, schema);
    const tables = await rows<{ name: string }>(
      source,
      `SELECT oid::regclass::text AS "name" FROM pg_class WHERE relkind = 'r' AND relname <> ALL ('{${NOT_NATIVE.join(',')}}')
         AND relnamespace::regnamespace::text !~ '^(pg_|information_schema|tidemark)'`,
    );
    await sql(source, `CREATE PUBLICATION native FOR TABLE ${tables.map(({ name }) => name).join(', ')}`);
    const database = new URL(source).pathname.slice(1);
    await sql(
      target,
      `CREATE SUBSCRIPTION native CONNECTION 'host=127.0.0.1 port=${server.port} dbname=${database} user=postgres password=${server.password}' PUBLICATION native WITH (copy_data = false, slot_name = 'native_${database}')`,
    );
    return new NativeSubscription(target);
  }

  /** Stops between two transactions, looks, and goes on. Undefined when nothing has been applied yet. */
  async stopAndLook(): Promise<NativePoint | undefined> {
    await sql(this.#url, 'ALTER SUBSCRIPTION native DISABLE');
    await until(async () => {
      const [at] = await rows<{ running: boolean }>(
        this.#url,
        `SELECT count(pid) > 0 AS "running" FROM pg_stat_subscription WHERE subname = 'native'`,
      );
      return at?.running === false;
    });
    const [at] = await rows<{ end: string }>(
      this.#url,
      `SELECT o.remote_lsn::text AS "end" FROM pg_replication_origin_status AS o JOIN pg_subscription AS s ON o.external_id = 'pg_' || s.oid
        WHERE s.subname = 'native' AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND o.remote_lsn > '0/0'`,
    );
    await using connection = await digestSession(this.#url);
    const digest = await digestOf(connection, NOT_NATIVE);
    await sql(this.#url, 'ALTER SUBSCRIPTION native ENABLE');
    return at === undefined ? undefined : { end: lsnOf(at.end), digest };
  }

  async drop(): Promise<void> {
    await using connection = await session(this.#url);
    await connection.execute('DROP SUBSCRIPTION native');
  }
}
