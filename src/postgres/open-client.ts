import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { Client, types } from 'pg';
import type { ClientConfig } from 'pg';
import { Failure, interruption } from '../model/failure.ts';
import { isLocal } from './connection-settings.ts';
import type { ConnectionSettings } from './connection-settings.ts';
import { postgresFailure } from './failures.ts';
import type { Side } from './failures.ts';
import { ReceiveSocket } from './receive-socket.ts';
import { tlsOptions } from './tls.ts';

interface OpenOptions {
  readonly side: Side;
  readonly job: string;
  readonly signal: AbortSignal;
  readonly replication?: boolean;
}

/** node-postgres reads it; its types don't know it. */
const WALSENDER: object = { replication: 'database' };

const KEEPALIVE_MS = 10_000;

/** bool, int2, int4, oid; and arrays of text, which node-postgres parses well. The rest stays text. */
const PARSED_TYPES = new Set([16, 21, 23, 26, 1003, 1009]);

const asText = (value: string): string => value;

/**
 * Opens a node-postgres client under the one TLS policy (P11). `prefer` falls back to plaintext, as libpq
 * does, and stands only for loopback and Unix sockets.
 */
export async function openClient(settings: ConnectionSettings, options: OpenOptions): Promise<Client> {
  const tls = settings.host.startsWith('/') ? false : tlsOptions(settings);
  try {
    return await attempt(settings, options, tls);
  } catch (error) {
    const refused = error instanceof Failure && error.code === `${options.side}.tls`;
    if (tls !== false && refused && settings.sslmode === 'prefer' && isLocal(settings.host)) {
      return attempt(settings, options, false);
    }
    throw error;
  }
}

export function isEncrypted(client: Client): boolean {
  const { stream } = (client as unknown as { connection: { stream: Duplex } }).connection;
  return stream instanceof TLSSocket && stream.encrypted;
}

/** What node-postgres is told of a connection. `encrypted`: how its socket turned out, once it is there. */
export function clientConfig(
  settings: ConnectionSettings,
  options: Pick<OpenOptions, 'side' | 'job'> & {
    readonly tls: ReturnType<typeof tlsOptions>;
    readonly encrypted: () => boolean;
  },
): ClientConfig {
  const { tls, encrypted } = options;
  return {
    host: settings.host,
    port: settings.port,
    user: settings.user,
    database: settings.database,
    application_name: `tidemark ${options.job}`,
    connectionTimeoutMillis: settings.connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_MS,
    ...(settings.options !== undefined && { options: settings.options }),
    ssl: tls,
    ...(tls === false && { stream: () => new ReceiveSocket() }),
    // Asked for only when the server wants one: the socket's state is looked at before anything secret is sent.
    password: () => {
      if (tls !== false && !encrypted()) {
        throw new Failure(`${options.side}.tls`, 'the connection is not encrypted; no password was sent');
      }
      return settings.password ?? '';
    },
    types: {
      getTypeParser: (oid: number, format?: 'text' | 'binary') =>
        PARSED_TYPES.has(oid) && format !== 'binary' ? types.getTypeParser(oid, 'text') : asText,
    },
  };
}

async function attempt(
  settings: ConnectionSettings,
  options: OpenOptions,
  tls: ReturnType<typeof tlsOptions>,
): Promise<Client> {
  const client: Client = new Client({
    ...clientConfig(settings, { ...options, tls, encrypted: () => isEncrypted(client) }),
    ...(options.replication === true && WALSENDER),
  });
  client.on('error', () => undefined);
  const abort = (): void => {
    (client as unknown as { connection: { stream: Duplex } }).connection.stream.destroy();
  };
  options.signal.addEventListener('abort', abort);
  try {
    await client.connect();
    return client;
  } catch (error) {
    abort();
    if (options.signal.aborted) throw interruption(options.signal);
    throw connectFailure(error, settings, options.side);
  } finally {
    options.signal.removeEventListener('abort', abort);
  }
}

export function connectFailure(error: unknown, settings: ConnectionSettings, side: Side): Failure {
  const failure = postgresFailure(error, side, `cannot connect to ${settings.display}`);
  if (failure.code === `${side}.authentication` && settings.password === undefined) {
    return new Failure(failure.code, `${failure.message} (no password was given)`, {
      facts: failure.facts,
      cause: failure,
      remedy: 'give the password in the URL, PGPASSWORD or ~/.pgpass',
    });
  }
  // A connection that closes during start-up was never there to lose.
  if (failure.code === `${side}.lost`) {
    return new Failure(`${side}.unreachable`, failure.message, { facts: failure.facts, cause: failure });
  }
  return failure;
}
