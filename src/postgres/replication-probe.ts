import { Failure } from '../model/failure.ts';
import type { FailureCode } from '../model/failure-codes.ts';
import { connect } from './connection.ts';
import type { ConnectionSettings } from './connection-settings.ts';

/**
 * Proves that a URL leads to a walsender of the database that ordinary sessions of it reach (REPLICATION E2): poolers
 * refuse replication, or answer for another server. Fails with `source.no_replication`, `source.no_slot` or
 * `source.pooler`.
 */
export async function probeReplication(
  settings: ConnectionSettings,
  options: { readonly systemIdentifier: string; readonly signal: AbortSignal },
): Promise<void> {
  try {
    await using walsender = await connect(settings, {
      side: 'source',
      job: 'probe',
      signal: options.signal,
      replication: true,
    });
    const [system] = await walsender.query<{ systemid: string; dbname: string }>('IDENTIFY_SYSTEM');
    if (system?.systemid === options.systemIdentifier && system.dbname === settings.database) return;
  } catch (error) {
    throw error instanceof Failure ? walsenderRefusal(error) : error;
  }
  throw new Failure('source.pooler', `${settings.host}:${settings.port} leads replication to another server`);
}

const REFUSALS = new Map<unknown, { readonly code: FailureCode; readonly remedy?: string }>([
  ['42501', { code: 'source.no_replication' }],
  [
    '53300',
    {
      code: 'source.no_slot',
      remedy: 'raise max_wal_senders, or end a standby or subscriber that is not needed',
    },
  ],
  [
    '08P01',
    {
      code: 'source.pooler',
      remedy: 'change capture needs the direct URL of the server (captureUrl in tidemark.yaml)',
    },
  ],
]);

/** Why a connection for replication was refused, where that tells more than why any is. */
export function walsenderRefusal(failure: Failure): Failure {
  const known = REFUSALS.get(failure.facts['sqlstate']);
  if (known === undefined) return failure;
  const { code, remedy } = known;
  const more = { facts: failure.facts, cause: failure };
  return new Failure(code, failure.message, remedy === undefined ? more : { ...more, remedy });
}
