import type { Manifest } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import { displayRelation, quoteIdentifier, quoteLiteral } from '../model/identifiers.ts';
import { connect } from '../postgres/connection.ts';
import type { Connection } from '../postgres/connection.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import { failpoint } from '../runtime/failpoints.ts';

interface TargetFacts {
  readonly version: number;
  readonly versionText: string;
  readonly database: string;
  readonly systemIdentifier: string;
  readonly inRecovery: boolean;
}

/** What a target must be before anything is done to it. All blockers are found, not only the first. */
export async function targetBlockers(
  connection: Connection,
  manifest: Manifest,
  options: { readonly schema: boolean },
): Promise<string[]> {
  const [facts] = await connection.query<TargetFacts>(
    `SELECT current_setting('server_version_num')::int AS "version", current_setting('server_version') AS "versionText",
            current_database() AS "database", pg_is_in_recovery() AS "inRecovery",
            (SELECT system_identifier::text FROM pg_control_system()) AS "systemIdentifier"`,
  );
  if (facts === undefined) return ['the target answered no row about itself'];
  const major = Math.trunc(facts.version / 10_000);
  const sourceMajor = Math.trunc(manifest.server.version / 10_000);
  return [
    ...(facts.inRecovery ? ['the target is a standby and takes no writes'] : []),
    ...(major < sourceMajor ? [`the target is PostgreSQL ${major}, the snapshot is of ${sourceMajor}`] : []),
    ...(options.schema ? await missingExtensions(connection, manifest) : []),
  ];
}

async function missingExtensions(connection: Connection, manifest: Manifest): Promise<string[]> {
  const names = manifest.server.extensions.map((extension) => extension.name);
  const rows = await connection.query<{ name: string }>(
    'SELECT name FROM pg_available_extensions WHERE name = ANY ($1)',
    [names],
  );
  const available = new Set(rows.map((row) => row.name));
  return names
    .filter((name) => !available.has(name))
    .map((name) => `extension ${name} is not available on the target`);
}

/** The first things that stand in the way of a restore into an empty database, for people. */
export async function contents(
  connection: Connection,
  options: { readonly except: readonly string[] },
): Promise<string[]> {
  const rows = await connection.query<{ kind: string; schema: string; name: string }>(
    sqlFile('target/contents'),
    [options.except],
  );
  return rows.map((row) =>
    row.kind === 'schema' ? `schema ${row.name}` : `${row.kind} ${displayRelation(row)}`,
  );
}

/**
 * Whether source and target are one database, decided live: a random advisory lock taken on the source is
 * looked for in the target's pg_locks, so other names, ports and poolers can't hide it (REPLICATION I 57).
 * Undefined when the source can't be reached: then only names can be compared.
 */
export async function isSameDatabase(
  source: ConnectionSettings,
  target: Connection,
  options: { readonly key: bigint; readonly signal: AbortSignal },
): Promise<boolean | undefined> {
  let connection: Connection;
  try {
    connection = await connect(source, { side: 'source', job: 'restore', signal: options.signal });
  } catch (error) {
    if (error instanceof Failure && error.code.startsWith('source.')) return undefined;
    throw error;
  }
  await using held = connection;
  await held.query('SELECT pg_advisory_lock($1::bigint)', [options.key.toString()]);
  const [row] = await target.query<{ found: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND classid = ($1::bigint >> 32 & x'ffffffff'::bigint)::oid AND objid = ($1::bigint & x'ffffffff'::bigint)::oid) AS "found"`,
    [options.key.toString()],
  );
  return row?.found === true;
}

/** A session on the target's server where its own database may not exist yet. */
export function connectBesideTarget(
  target: ConnectionSettings,
  options: { readonly signal: AbortSignal },
): Promise<Connection> {
  return connect(
    { ...target, database: 'postgres' },
    { side: 'target', job: 'restore', signal: options.signal },
  );
}

/**
 * Makes the target database with the source's encoding and, where the server knows it, its locale. `before` may refuse,
 * on a session beside it. Nothing to do when it is there.
 */
export async function createDatabase(
  target: ConnectionSettings,
  manifest: Manifest,
  options: {
    readonly signal: AbortSignal;
    readonly before: (connection: Connection) => Promise<void>;
  },
): Promise<void> {
  await using connection = await connectBesideTarget(target, options);
  const [exists] = await connection.query<{ exists: boolean }>(
    'SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1) AS "exists"',
    [target.database],
  );
  if (exists?.exists === true) return;
  await options.before(connection);
  const { encoding, collate, ctype } = manifest.server;
  const [known] = await connection.query<{ known: boolean }>(
    `SELECT count(*) = 2 AS "known" FROM (VALUES ($1::text), ($2::text)) AS wanted(name)
      WHERE name IN ('C', 'POSIX') OR EXISTS (SELECT FROM pg_collation WHERE collcollate = name AND collprovider = 'c')
         OR EXISTS (SELECT FROM pg_database WHERE datcollate = name)`,
    [collate, ctype],
  );
  const locale =
    known?.known === true ? ` LC_COLLATE ${quoteLiteral(collate)} LC_CTYPE ${quoteLiteral(ctype)}` : '';
  await connection.execute(
    `CREATE DATABASE ${quoteIdentifier(target.database)} TEMPLATE template0 ENCODING ${quoteLiteral(encoding)}${locale}`,
  );
  await failpoint('restore.database-made');
}
