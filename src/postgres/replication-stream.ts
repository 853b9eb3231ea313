import type { Duplex } from 'node:stream';
import type { Client } from 'pg';
import { LogicalReplicationService } from 'pg-logical-replication';
import { Failure, asFailure, interruption } from '../model/failure.ts';
import { quoteIdentifier, quoteLiteral } from '../model/identifiers.ts';
import { asLsn, formatLsn, parseLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import type { ConnectionSettings } from './connection-settings.ts';
import { postgresFailure } from './failures.ts';
import { LIFT_TIMEOUTS } from './lift-timeouts.ts';
import { walsenderRefusal } from './replication-probe.ts';
import { clientConfig, connectFailure, isEncrypted } from './open-client.ts';
import { tlsOptions } from './tls.ts';

/** IDENTIFY_SYSTEM, as the walsender that is about to stream answers it. */
export interface SystemIdentity {
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** Up to where WAL is flushed. */
  readonly position: Lsn;
  readonly database: string | null;
}

export interface StreamNotice {
  readonly code: string | undefined;
  readonly message: string;
}

export interface StreamRequest {
  readonly slot: string;
  readonly publications: readonly string[];
  /** Session settings; those that shape the text of values among them. Set, then read back. */
  readonly session: Readonly<Record<string, string>>;
  /** How the ordinary sessions of this URL turned out: `sslmode=prefer` is decided once. */
  readonly encrypted: boolean;
  /** Looks at the walsender before anything is streamed; answers where to start, or throws why not. */
  readonly admit: (system: SystemIdentity, settings: Readonly<Record<string, string>>) => Promise<Lsn>;
  /** A raw pgoutput message. A view that is overwritten once this returns: copy it. */
  readonly onMessage: (message: Buffer) => void;
  /** `reply`: the server waits for an answer. */
  readonly onKeepalive: (walEnd: Lsn, reply: boolean) => void;
  /** Anything came. */
  readonly onHeard: () => void;
  readonly onNotice: (notice: StreamNotice) => void;
  readonly signal: AbortSignal;
}

/** What pg-logical-replication asks of a plugin: it only starts the stream, and gives every message on as it is. */
interface Plugin {
  readonly options: object;
  readonly name: string;
  start(client: Client, slot: string, lsn: string): Promise<unknown>;
  parse(message: Buffer): undefined;
}

const CLOSE_MS = 1000;

/**
 * One streaming connection, never used again after it ended (REPLICATION A4): pg-logical-replication connects, starts
 * and frames, and nothing else. It acknowledges nothing by itself, neither on receipt nor by its timer, and a new
 * connection never begins where an old one had received to.
 */
export class ReplicationStream implements AsyncDisposable {
  /** Settles when the connection is over: why, or undefined after `close`. Never rejects. */
  readonly ended: Promise<Failure | undefined>;
  readonly #service: LogicalReplicationService;
  readonly #request: StreamRequest;
  readonly #settings: ConnectionSettings;
  readonly #started = Promise.withResolvers<void>();
  #client: Client | undefined;
  #failure: Failure | undefined;
  #closing = false;
  #backendPid = 0;

  private constructor(settings: ConnectionSettings, request: StreamRequest) {
    this.#settings = settings;
    this.#request = request;
    const plain = settings.host.startsWith('/') || !request.encrypted;
    const config = clientConfig(settings, {
      side: 'source',
      job: 'capture',
      tls: plain ? false : tlsOptions(settings),
      // The client is the service's own, which nobody else can give.
      encrypted: () => isEncrypted(this.#service['_client'] as Client),
    });
    this.#service = new LogicalReplicationService(config, {
      acknowledge: { auto: false, timeoutSeconds: 0 },
      flowControl: { enabled: false },
    });
    this.#service.on('error', (error) => this.#fail(error));
    this.#service.on('start', () => this.#started.resolve());
    this.#service.on('heartbeat', (walEnd, _, reply) => {
      request.onHeard();
      const position = parseLsn(walEnd);
      if (position !== undefined) request.onKeepalive(position, reply);
    });
    this.ended = this.#run();
  }

  /** Connects, asks `admit`, and returns once the server streams. Fails as `connect` does, or with what `admit` threw. */
  static async open(settings: ConnectionSettings, request: StreamRequest): Promise<ReplicationStream> {
    if (request.signal.aborted) throw interruption(request.signal);
    const stream = new ReplicationStream(settings, request);
    const failed = await Promise.race([
      stream.#started.promise,
      stream.ended.then((failure) => failure ?? new Failure('source.lost', 'the stream ended at its start')),
    ]);
    if (failed === undefined) return stream;
    throw failed;
  }

  /** Of the walsender. */
  get backendPid(): number {
    return this.#backendPid;
  }

  /**
   * Tells the server that everything before `lsn` is stored: exactly `lsn`, since the library adds one, and one too
   * many skips a commit that begins there (REPLICATION A-1).
   */
  confirm(lsn: Lsn, options: { readonly ping: boolean }): void {
    const previous = formatLsn(asLsn(lsn - 1n));
    this.#service.acknowledge(previous, options.ping).catch((error: unknown) => this.#fail(error));
  }

  /** The server's sending blocks soon after; what has arrived is still handed on. */
  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** Ends it now, for this reason. */
  abandon(failure: Failure): void {
    this.#fail(failure);
  }

  /** Sends what is still to be sent, and leaves. */
  async close(): Promise<void> {
    this.#closing = true;
    const socket = this.#socket;
    if (socket !== undefined && !socket.destroyed) {
      socket.resume();
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.end();
      await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref())]);
      socket.destroy();
    }
    await this.ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #run(): Promise<Failure | undefined> {
    const abort = (): void => this.#fail(interruption(this.#request.signal));
    this.#request.signal.addEventListener('abort', abort);
    const plugin: Plugin = {
      options: {},
      name: 'pgoutput',
      start: (client) => this.#start(client),
      parse: (message) => this.#parse(message),
    };
    try {
      await this.#service.subscribe(plugin, this.#request.slot);
      this.#fail(new Failure('source.lost', 'the server ended the stream'));
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#request.signal.removeEventListener('abort', abort);
      this.#socket?.destroy();
      await this.#service.destroy().catch(() => undefined);
    }
    return this.#failure;
  }

  async #start(client: Client): Promise<unknown> {
    this.#client = client;
    client.on('notice', ({ code, message }) => this.#request.onNotice({ code, message: message ?? '' }));
    if (this.#request.signal.aborted) throw interruption(this.#request.signal);
    const { slot, publications } = this.#request;
    const settings = await this.#applySession(client);
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS "pid"');
    this.#backendPid = rows[0]?.pid ?? 0;
    const start = await this.#request.admit(await identify(client), settings);
    const names = publications.map((name) => quoteIdentifier(name)).join(',');
    // In the replication grammar only a quote is doubled; our names hold no backslash.
    return client.query(
      `START_REPLICATION SLOT ${quoteIdentifier(slot)} LOGICAL ${formatLsn(start)} (proto_version '1', publication_names ${quoteLiteral(names)}, messages 'true')`,
    );
  }

  /** By statements, not start-up options, which a URL may bring as well; each is read back. */
  async #applySession(client: Client): Promise<Readonly<Record<string, string>>> {
    const found: Record<string, string> = {};
    await client.query(LIFT_TIMEOUTS);
    for (const [name, value] of Object.entries(this.#request.session)) {
      const { rows } = await client.query<{ value: string }>(
        `SELECT set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, false) AS "value"`,
      );
      found[name] = rows[0]?.value ?? '';
    }
    return found;
  }

  /** Must not throw: it would escape from the socket (REPLICATION A-7). What failed ends the stream instead. */
  #parse(message: Buffer): undefined {
    if (this.#failure !== undefined || this.#closing) return;
    try {
      this.#request.onHeard();
      this.#request.onMessage(message);
    } catch (error) {
      // Not the server's: what is wrong here must not look like a lost connection.
      this.#fail(asFailure(error));
    }
  }

  #fail(error: unknown): void {
    if (this.#failure === undefined && !this.#closing) this.#failure = this.#failureOf(error);
    this.#socket?.destroy();
  }

  /** The package tells first by an event, of a connection that was never there, too. */
  #failureOf(error: unknown): Failure {
    if (error instanceof Failure) return error;
    return this.#client === undefined
      ? walsenderRefusal(connectFailure(error, this.#settings, 'source'))
      : postgresFailure(error, 'source', 'the change stream broke');
  }

  get #socket(): Duplex | undefined {
    const client = this.#client ?? this.#service?.['_client'];
    return (client as unknown as { connection?: { stream: Duplex } } | undefined)?.connection?.stream;
  }
}

async function identify(client: Client): Promise<SystemIdentity> {
  const { rows } = await client.query<{
    systemid: string;
    timeline: number | string;
    xlogpos: string;
    dbname: string | null;
  }>('IDENTIFY_SYSTEM');
  const [row] = rows;
  const position = parseLsn(row?.xlogpos ?? '');
  if (row === undefined || position === undefined)
    throw new Failure('source.pooler', 'the server does not say which one it is');
  return {
    systemIdentifier: row.systemid,
    timeline: Number(row.timeline),
    position,
    database: row.dbname,
  };
}
