import { Failure } from '../model/failure.ts';
import { connect } from '../postgres/connection.ts';
import type { Connection } from '../postgres/connection.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { readServerFacts } from '../postgres/inventory.ts';
import type { ServerFacts } from '../postgres/inventory.ts';
import { probeSession } from '../postgres/session-probe.ts';
import { snapshotSession } from './session-settings.ts';

/** The oldest major whose TID range scans and lock views this relies on. */
const OLDEST_SERVER = 140_000;

/**
 * Opens the sessions of one snapshot, all with the same pinned settings. The first one tells what the server
 * is and which settings it knows.
 */
export class SourceSessions {
  readonly #settings: ConnectionSettings;
  readonly #signal: AbortSignal;
  readonly job: string;
  #session: Record<string, string> = {};

  constructor(settings: ConnectionSettings, options: { readonly job: string; readonly signal: AbortSignal }) {
    this.#settings = settings;
    this.#signal = options.signal;
    this.job = options.job;
  }

  /** Settings in force, as read back by `connect`. */
  get session(): Readonly<Record<string, string>> {
    return this.#session;
  }

  /** Refuses transaction poolers, standbys and unsupported majors. */
  async probe(): Promise<ServerFacts> {
    await probeSession(this.#settings, { side: 'source', signal: this.#signal });
    await using connection = await connect(this.#settings, {
      side: 'source',
      job: this.job,
      signal: this.#signal,
    });
    const facts = await readServerFacts(connection);
    if (facts.inRecovery) {
      throw new Failure(
        'source.standby',
        'the server is a standby: a snapshot of it could not be tied to a change stream',
      );
    }
    if (facts.versionNumber < OLDEST_SERVER) {
      throw new Failure('source.unsupported', `PostgreSQL ${facts.versionText} is older than 14`, {
        facts: { version: facts.versionText },
      });
    }
    this.#session = await snapshotSession(connection);
    return facts;
  }

  open(): Promise<Connection> {
    return connect(this.#settings, {
      side: 'source',
      job: this.job,
      signal: this.#signal,
      session: this.#session,
    });
  }
}

/** By which the server's views show the sessions of a job. */
export function applicationName(sessions: SourceSessions): string {
  return `tidemark ${sessions.job}`;
}
