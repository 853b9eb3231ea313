import { totalmem } from 'node:os';
import { Failure } from '../model/failure.ts';
import { quoteIdentifier } from '../model/identifiers.ts';
import { connect } from '../postgres/connection.ts';
import { withDatabase } from '../postgres/connection-settings.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { findServerBinaries } from '../server/binaries.ts';
import { reapServers } from '../server/reap.ts';
import { startServer } from '../server/start-server.ts';
import type { Settings } from './settings.ts';

/** Where a drill restores to; what it made there goes with it. */
export interface DrillServer extends AsyncDisposable {
  readonly kind: 'local' | 'url';
  readonly major: number;
  /** Of a database that is not there yet. */
  at(database: string): ConnectionSettings;
}

/**
 * Nobody needs what is in it a minute later, so it waits for no disk; nothing in it works by itself: no autovacuum, no
 * subscription, no job of an extension, no event trigger. It listens on loopback alone, under a random password.
 */
function settingsFor(major: number): Record<string, string> {
  const megabytes = Math.floor(totalmem() / 2 ** 20);
  return {
    fsync: 'off',
    full_page_writes: 'off',
    synchronous_commit: 'off',
    wal_level: 'minimal',
    max_wal_senders: '0',
    max_wal_size: '8GB',
    autovacuum: 'off',
    max_logical_replication_workers: '0',
    shared_preload_libraries: '',
    shared_buffers: `${Math.max(128, Math.min(2048, Math.floor(megabytes / 8)))}MB`,
    maintenance_work_mem: `${Math.max(64, Math.min(512, Math.floor(megabytes / 32)))}MB`,
    max_locks_per_transaction: '256',
    jit: 'off',
    ...(major >= 17 && { event_triggers: 'off' }),
  };
}

/**
 * `local`: a cluster of its own, of the source's major where this machine has its programs, else the next newer one. Else the
 * URL of a server where databases may be made. First it removes what killed drills have left.
 */
export async function openDrillServer(
  settings: Settings,
  wanted: {
    readonly server: string;
    readonly major: number;
    readonly exactly: boolean;
    readonly signal: AbortSignal;
  },
): Promise<DrillServer> {
  if (wanted.server !== 'local') return givenServer(settings, wanted);
  await reapServers();
  const found = findServerBinaries()
    .filter(({ major }) => (wanted.exactly ? major === wanted.major : major >= wanted.major))
    .sort((a, b) => a.major - b.major)[0];
  if (found === undefined)
    throw new Failure('server.unavailable', `no programs of a PostgreSQL ${wanted.major} server are here`, {
      facts: { major: wanted.major },
      remedy: `install postgresql-${wanted.major}, or give --server a URL`,
    });
  const server = await startServer({
    binaries: found,
    settings: settingsFor(found.major),
    signal: wanted.signal,
  });
  return {
    kind: 'local',
    major: server.major,
    at: (database) => settings.connection(server.url(database)),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** The database that was made there is dropped again; nothing else is touched. */
async function givenServer(
  settings: Settings,
  { server, signal }: { readonly server: string; readonly signal: AbortSignal },
): Promise<DrillServer> {
  const given = settings.connection(server);
  await using connection = await connect(given, { side: 'target', job: 'drill', signal });
  const major = Math.trunc(connection.serverVersion / 10_000);
  const made: string[] = [];
  return {
    kind: 'url',
    major,
    at: (database) => {
      made.push(database);
      return withDatabase(given, database);
    },
    [Symbol.asyncDispose]: async () => {
      await using again = await connect(given, {
        side: 'target',
        job: 'drill',
        signal: AbortSignal.timeout(60_000),
      });
      for (const database of made)
        await again.execute(`DROP DATABASE IF EXISTS ${quoteIdentifier(database)} WITH (FORCE)`);
    },
  };
}
