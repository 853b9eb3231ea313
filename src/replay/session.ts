import { Failure } from '../model/failure.ts';
import { connect } from '../postgres/connection.ts';
import type { Connection } from '../postgres/connection.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { LIFT_TIMEOUTS } from '../postgres/lift-timeouts.ts';

/** How the server sent the changes: UTF-8, or the bytes of a database without encoding. */
export type StreamEncoding = 'UTF8' | 'SQL_ASCII';

export interface ReplaySession extends AsyncDisposable {
  readonly connection: Connection;
  /**
   * The role may set session_replication_role: triggers, rules and foreign keys rest. Where it may not, the caller
   * restores tables without foreign keys and triggers first, and adds them after the replay (REPLICATION H2).
   */
  readonly mayBeReplica: boolean;
  readonly encoding: StreamEncoding;
}

/** Opens the session that replays. `settings` are those under which the server wrote the changes' text. */
export async function openReplaySession(
  target: ConnectionSettings,
  options: {
    readonly settings: Readonly<Record<string, string>>;
    readonly encoding: StreamEncoding;
    readonly signal: AbortSignal;
  },
): Promise<ReplaySession> {
  const connection = await connect(target, {
    side: 'target',
    job: 'replay',
    signal: options.signal,
    session: {
      ...options.settings,
      search_path: '',
      client_encoding: options.encoding,
      client_min_messages: 'warning',
      check_function_bodies: 'off',
      row_security: 'off',
      statement_timeout: '0',
      lock_timeout: '0',
      idle_in_transaction_session_timeout: '0',
      default_transaction_read_only: 'off',
      default_transaction_isolation: 'read committed',
      synchronous_commit: 'off',
      jit: 'off',
    },
  });
  try {
    await connection.query(LIFT_TIMEOUTS);
    const mayBeReplica = await becomeReplica(connection);
    return {
      connection,
      mayBeReplica,
      encoding: options.encoding,
      [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
    };
  } catch (error) {
    await connection[Symbol.asyncDispose]();
    throw error;
  }
}

async function becomeReplica(connection: Connection): Promise<boolean> {
  try {
    // By a statement: supautils on Supabase allows it only so (REPLICATION E2).
    await connection.execute("SET session_replication_role = 'replica'");
    return true;
  } catch (error) {
    if (!(error instanceof Failure) || error.facts['sqlstate'] !== '42501') throw error;
    return false;
  }
}
