import { createHash } from 'node:crypto';
import { Failure } from '../model/failure.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import { discoverTools } from '../postgres/tools.ts';
import { findServerBinaries } from '../server/binaries.ts';
import type { ServerBinaries } from '../server/binaries.ts';

/** Of what was loaded. Rows are the server's own estimate. */
export interface SampleFacts {
  readonly tables: number;
  readonly rows: number;
  readonly bytes: number;
  readonly milliseconds: number;
}

/** A server that the client programs here can dump: installed ones first, they have clients of their own major. */
export async function serverBinaries(signal: AbortSignal): Promise<ServerBinaries> {
  const tools = await discoverTools({
    binDirectories: process.env['TIDEMARK_PG_BIN'],
    searchPath: process.env['PATH'] ?? '',
    signal,
  });
  const newest = tools.at(-1)?.major ?? 0;
  const found = findServerBinaries().find((candidate) => candidate.major >= 14 && candidate.major <= newest);
  if (found !== undefined) return found;
  throw new Failure(
    'server.unavailable',
    'no PostgreSQL server programs that the client programs here can dump',
    {
      facts: { newestClient: newest },
    },
  );
}

/** Makes database `rentals` with the sample in it. */
export async function loadSample(
  at: (database: string) => Promise<Connection>,
  scale: number,
): Promise<{ readonly source: Connection; readonly facts: SampleFacts }> {
  const started = performance.now();
  await using admin = await at('postgres');
  await admin.execute('CREATE DATABASE rentals TEMPLATE template0');
  const source = await at('rentals');
  await source.query("SELECT set_config('sample.scale', $1, false)", [String(scale)]);
  for (const name of ['sample/01-schema', 'sample/02-data', 'sample/03-code'])
    await source.execute(sqlFile(name));
  await source.execute('ANALYZE');
  const [facts] = await source.query<{ tables: number; rows: string; bytes: string }>(
    `SELECT count(*)::int AS "tables", sum(reltuples)::bigint::text AS "rows", pg_database_size(current_database())::text AS "bytes"
       FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname !~ '^(pg_|information_schema)'`,
  );
  const { tables = 0, rows, bytes } = facts ?? {};
  const milliseconds = performance.now() - started;
  return { source, facts: { tables, rows: Number(rows), bytes: Number(bytes), milliseconds } };
}

/** One digest for each ordinary, logged table but capture's own: of its rows as text, whatever their order. */
export async function contentDigests(connection: Connection): Promise<Map<string, string>> {
  const tables = await connection.query<{ name: string; relation: string }>(
    `SELECT c.oid::regclass::text AS "name", format('%I.%I', n.nspname, c.relname) AS "relation"
       FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
      WHERE relkind = 'r' AND relpersistence = 'p' AND nspname !~ '^(pg_|information_schema|tidemark)' ORDER BY 1`,
  );
  const digests = new Map<string, string>();
  for (const { name, relation } of tables) {
    const [row] = await connection.query<{ rows: string; sums: string }>(
      `SELECT count(*)::text AS "rows", coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text AS "sums" FROM ONLY ${relation} AS t`,
    );
    digests.set(name, createHash('sha256').update(`${row?.rows}/${row?.sums}`).digest('hex'));
  }
  return digests;
}
