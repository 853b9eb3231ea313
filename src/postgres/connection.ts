import { setMaxListeners } from 'node:events';
import { pipeline } from 'node:stream/promises';
import type { Client } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { Failure, interruption, throwIfAborted } from '../model/failure.ts';
import type { ConnectionSettings } from './connection-settings.ts';
import { CopyOutQuery } from './copy-out.ts';
import type { CopyBuffers } from './copy-out.ts';
import { postgresFailure } from './failures.ts';
import type { Side } from './failures.ts';
import { isEncrypted, openClient } from './open-client.ts';

export interface ConnectOptions {
  readonly side: Side;
  /** application_name becomes `tidemark <job>`. */
  readonly job: string;
  readonly signal: AbortSignal;
  /** Applied by SET and read back: startup options don't pass through poolers. */
  readonly session?: Readonly<Record<string, string>>;
  /** A walsender that is connected to the database: it takes replication commands, and SQL without parameters. */
  readonly replication?: boolean;
  readonly onNotice?: (notice: { readonly code: string | undefined; readonly message: string }) => void;
}

/** The data of one COPY … TO STDOUT, in full buffers but for the last one; the reader gives them back. */
export interface CopyOut extends AsyncIterable<Buffer> {
  /** To be asked for when all is read. */
  received(): CopyReceived;
}

export interface CopyReceived {
  /** As the server counted them. */
  readonly rows: bigint;
  /** CopyData messages: a server sends one for each row of text. */
  readonly messages: number;
  readonly bytes: number;
}

/**
 * Opens one session. The signal ends it at once, whatever it does: every call then fails with `interrupted`,
 * or with the Failure that the signal was aborted for.
 */
export async function connect(settings: ConnectionSettings, options: ConnectOptions): Promise<Connection> {
  throwIfAborted(options.signal);
  setMaxListeners(0, options.signal);
  const client = await openClient(settings, options);
  const connection = new Connection(client, settings, options);
  try {
    await connection.begin(options.session ?? {});
    return connection;
  } catch (error) {
    await connection[Symbol.asyncDispose]();
    throw error;
  }
}

/** One session with Postgres. Queries run one at a time; after a failed COPY or an abort it is never reused. */
export class Connection implements AsyncDisposable {
  readonly side: Side;
  readonly settings: ConnectionSettings;
  readonly #client: Client;
  readonly #signal: AbortSignal;
  readonly #onAbort: () => void;
  #serverVersion = 0;
  #backendPid = 0;
  #ended = false;
  #lost: unknown;

  constructor(client: Client, settings: ConnectionSettings, options: ConnectOptions) {
    this.#client = client;
    this.settings = settings;
    this.side = options.side;
    this.#signal = options.signal;
    this.#onAbort = () => this.#destroy();
    options.signal.addEventListener('abort', this.#onAbort);
    client.on('error', (error) => (this.#lost ??= error));
    client.on('notice', (notice) => options.onNotice?.({ code: notice.code, message: notice.message ?? '' }));
  }

  /** server_version_num */
  get serverVersion(): number {
    return this.#serverVersion;
  }

  get backendPid(): number {
    return this.#backendPid;
  }

  get encrypted(): boolean {
    return isEncrypted(this.#client);
  }

  /** Sets and proves the session's settings. Called once by `connect`. */
  async begin(session: Readonly<Record<string, string>>): Promise<void> {
    const [row] = await this.query<{ version: number; pid: number }>(
      `SELECT current_setting('server_version_num')::int AS "version", pg_backend_pid() AS "pid"`,
    );
    this.#serverVersion = row?.version ?? 0;
    this.#backendPid = row?.pid ?? 0;
    const names = Object.keys(session);
    if (names.length === 0) return;
    await this.query(
      'SELECT set_config(s.name, s.value, false) FROM unnest($1::text[], $2::text[]) AS s(name, value)',
      [names, Object.values(session)],
    );
    const rows = await this.query<{ name: string; value: string }>(
      'SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS s(name)',
      [names],
    );
    const other = rows.filter((setting) => setting.value !== session[setting.name]);
    if (other.length > 0) {
      throw new Failure(
        `${this.side}.pooler`,
        `the session did not keep its setting of ${other.map((s) => s.name).join(', ')}`,
      );
    }
  }

  /**
   * Rows of one statement with parameters. Everything but bool, int2, int4 and arrays of text comes as the
   * server's text: no number or time is ever converted.
   */
  async query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const result = await this.#call(() => this.#client.query<Row>(text, [...values]));
    return result.rows;
  }

  /** Runs one statement with parameters; how many rows the server says it touched. A Buffer is a parameter in binary. */
  async change(text: string, values: readonly unknown[]): Promise<number> {
    const result = await this.#call(() => this.#client.query(text, [...values]));
    return result.rowCount ?? 0;
  }

  /** Runs SQL by the simple protocol, several statements allowed; tells of the last one. */
  async execute(text: string): Promise<{ readonly command: string; readonly rowCount: number }> {
    const results = await this.#call(() => this.#client.query(text));
    const last: unknown = Array.isArray(results) ? results.at(-1) : results;
    const { command, rowCount } = last as { command: string | null; rowCount: number | null };
    return { command: command ?? '', rowCount: rowCount ?? 0 };
  }

  /** COMMIT of a failed transaction succeeds and answers ROLLBACK (REPLICATION B3): this one fails then. */
  async commit(): Promise<void> {
    const { command } = await this.execute('COMMIT');
    if (command !== 'COMMIT') {
      throw new Failure(`${this.side}.error`, 'the server rolled the transaction back at COMMIT');
    }
  }

  /**
   * Starts COPY … TO STDOUT. The iteration ends only when the server said that the command ended well. Leaving
   * it early ends the session: nobody would read the rest of the data.
   */
  copyOut(statement: string, buffers: CopyBuffers): CopyOut {
    throwIfAborted(this.#signal);
    const query = this.#client.query(new CopyOutQuery(statement, buffers));
    const read = async function* (this: Connection): AsyncGenerator<Buffer> {
      let whole = false;
      try {
        yield* query.read();
        whole = true;
      } catch (error) {
        throw this.#failure(error, 'COPY');
      } finally {
        if (!whole) this.#destroy();
      }
    };
    return {
      [Symbol.asyncIterator]: () => read.call(this),
      received: () => {
        const { rows, messages, bytes } = query;
        if (rows === undefined) throw new Error('asked for before the command ended');
        return { rows, messages, bytes };
      },
    };
  }

  /**
   * Runs COPY … FROM STDIN with the source's bytes; the server's count of rows. When the source throws, the
   * COPY fails, nothing of it stays, and the source's error is thrown. A chunk of 64 KiB or more is done with when the
   * next is asked for.
   */
  async copyIn(statement: string, source: AsyncIterable<Uint8Array>): Promise<bigint> {
    throwIfAborted(this.#signal);
    // Full with any chunk: the next one is asked for when the socket has taken this one.
    const stream = this.#client.query(copyFrom(statement, { highWaterMark: 1 }));
    let sourceError: unknown;
    const guarded = async function* (): AsyncGenerator<Uint8Array> {
      try {
        yield* source;
      } catch (error) {
        sourceError = error;
        throw error;
      }
    };
    try {
      await pipeline(guarded(), stream);
    } catch (error) {
      throw sourceError instanceof Error && !this.#signal.aborted
        ? sourceError
        : this.#failure(error, 'COPY');
    }
    return BigInt(stream.rowCount);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#signal.removeEventListener('abort', this.#onAbort);
    await this.#client.end().catch(() => undefined);
  }

  #destroy(): void {
    this.#lost ??= new Error('the session was ended');
    socketOf(this.#client).destroy();
  }

  async #call<T>(act: () => Promise<T>): Promise<T> {
    throwIfAborted(this.#signal);
    if (this.#lost !== undefined) throw this.#failure(this.#lost, 'connection');
    try {
      return await act();
    } catch (error) {
      throw this.#failure(error, 'query');
    }
  }

  #failure(error: unknown, what: string): Failure {
    if (this.#signal.aborted) return interruption(this.#signal);
    return postgresFailure(error, this.side, what === 'query' ? this.side : `${this.side}, ${what}`);
  }
}

/** node-postgres keeps its socket here; its types don't say so. */
function socketOf(client: Client): { destroy(): void } {
  return (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream;
}
