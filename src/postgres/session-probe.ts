import { Failure } from '../model/failure.ts';
import { quoteLiteral } from '../model/identifiers.ts';
import { connect } from './connection.ts';
import type { Connection } from './connection.ts';
import type { ConnectionSettings } from './connection-settings.ts';
import type { Side } from './failures.ts';

const STATEMENTS = 6;

/**
 * Proves that a URL leads to sessions of one server: the same backend for statement after statement, settings
 * that stay, and an exported snapshot that a second connection can import. A transaction pooler fails the
 * first two, a load balancer over replicas the third. Fails with `<side>.pooler`.
 */
export async function probeSession(
  settings: ConnectionSettings,
  options: { readonly side: Side; readonly signal: AbortSignal },
): Promise<void> {
  const open = (): Promise<Connection> => connect(settings, { ...options, job: 'probe' });
  await using first = await open();
  await using second = await open();
  await first.query(`SELECT set_config('application_name', 'tidemark probe 1', false)`);
  for (let count = 0; count < STATEMENTS; count += 1) {
    // Between transactions a pooler may give the backend to the other connection.
    const [row] = await first.query<{ pid: number; name: string }>(
      `SELECT pg_backend_pid() AS "pid", current_setting('application_name') AS "name"`,
    );
    await second.query('SELECT 1');
    if (row?.pid !== first.backendPid || row.name !== 'tidemark probe 1')
      throw pooler(settings, options.side, 'statements run in changing sessions');
  }
  await first.execute('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  const [exported] = await first.query<{ name: string }>('SELECT pg_export_snapshot() AS "name"');
  try {
    await second.execute('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await second.execute(`SET TRANSACTION SNAPSHOT ${quoteLiteral(exported?.name ?? '')}`);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw pooler(settings, options.side, 'a second connection can’t see the first one’s snapshot');
  }
  if (second.backendPid === first.backendPid)
    throw pooler(settings, options.side, 'two connections share one session');
}

function pooler(settings: ConnectionSettings, side: Side, what: string): Failure {
  const supabase = settings.host.endsWith('.pooler.supabase.com');
  return new Failure(
    `${side}.pooler`,
    `${settings.host}:${settings.port} is no session of its own: ${what}`,
    {
      facts: { host: settings.host, port: settings.port },
      ...(supabase && {
        remedy: `use the session pooler, ${settings.host} port 5432, or the direct host db.<project>.supabase.co port 5432`,
      }),
    },
  );
}
