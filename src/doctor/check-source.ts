import { Failure, asFailure } from '../model/failure.ts';
import type { Finding } from '../model/finding.ts';
import { displayRelation } from '../model/identifiers.ts';
import { connect } from '../postgres/connection.ts';
import type { Connection } from '../postgres/connection.ts';
import { isLocal } from '../postgres/connection-settings.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { readRelations, readServerFacts } from '../postgres/inventory.ts';
import type { Relation, ServerFacts } from '../postgres/inventory.ts';
import { probeSession } from '../postgres/session-probe.ts';
import { chooseTools } from '../postgres/tools.ts';
import type { ClientTools } from '../postgres/tools.ts';
import { managedByProvider } from '../snapshot/provider-profile.ts';

interface SourceChecks {
  readonly settings: ConnectionSettings;
  readonly tools: readonly ClientTools[];
  readonly signal: AbortSignal;
}

const CLOCK_DIFFERENCE_MS = 60_000;

/** What stands between a source and a good snapshot. Reads only. */
export async function checkSource(checks: SourceChecks): Promise<Finding[]> {
  let connection: Connection;
  try {
    connection = await connect(checks.settings, { side: 'source', job: 'doctor', signal: checks.signal });
  } catch (error) {
    return [ofFailure('source.connection', asFailure(error))];
  }
  await using session = connection;
  const facts = await readServerFacts(session);
  return [
    ok(
      'source.connection',
      `${checks.settings.display}, PostgreSQL ${facts.versionText}, role ${facts.role}`,
    ),
    ...tlsFindings(checks.settings, session.encrypted),
    ...serverFindings(facts, checks.tools),
    await poolerFinding(checks),
    ...relationFindings(await readRelations(session), facts),
    ...(await largeObjectFindings(session)),
  ];
}

function tlsFindings(settings: ConnectionSettings, encrypted: boolean): Finding[] {
  if (isLocal(settings.host))
    return [ok('source.tls', encrypted ? 'encrypted' : 'not encrypted, and does not leave this machine')];
  if (!encrypted) {
    return [
      {
        level: 'warning',
        check: 'source.tls',
        message: 'plaintext over the network',
        remedy: 'remove sslmode=disable',
      },
    ];
  }
  if (settings.sslmode === 'verify-full') return [ok('source.tls', 'encrypted, server verified')];
  return [
    {
      level: 'warning',
      check: 'source.tls',
      message: `encrypted, but sslmode=${settings.sslmode} does not prove which server answers`,
      remedy:
        'add sslmode=verify-full and sslrootcert=FILE with the provider’s CA (Supabase: Database settings, SSL; RDS: global-bundle.pem)',
    },
  ];
}

function serverFindings(facts: ServerFacts, tools: readonly ClientTools[]): Finding[] {
  const major = Math.trunc(facts.versionNumber / 10_000);
  const findings: Finding[] = [];
  if (facts.inRecovery)
    findings.push(ofFailure('source.primary', new Failure('source.standby', 'the server is a standby')));
  else findings.push(ok('source.primary', 'a primary server'));
  try {
    const chosen = chooseTools(tools, major);
    findings.push(ok('tools', `pg_dump ${chosen.version} in ${chosen.directory}`));
  } catch (error) {
    findings.push(ofFailure('tools', asFailure(error)));
  }
  const difference = Math.abs(Date.parse(facts.clock) - Date.now());
  findings.push(
    difference < CLOCK_DIFFERENCE_MS
      ? ok('source.clock', 'agrees with this machine’s')
      : {
          level: 'warning',
          check: 'source.clock',
          message: `differs from this machine’s by ${Math.round(difference / 1000)} s`,
          remedy: 'set both clocks by NTP: recovery times are the server’s',
        },
  );
  return findings;
}

async function poolerFinding(checks: SourceChecks): Promise<Finding> {
  try {
    await probeSession(checks.settings, { side: 'source', signal: checks.signal });
    return ok('source.session', 'behaves like one session: settings stay, a snapshot can be shared');
  } catch (error) {
    return ofFailure('source.session', asFailure(error));
  }
}

function relationFindings(relations: readonly Relation[], facts: ServerFacts): Finding[] {
  const profile = facts.supabase ? 'supabase' : 'postgres';
  const ours = relations.filter(
    (relation) => !managedByProvider(relation, profile) && relation.extension === null,
  );
  const tables = ours.filter((relation) => relation.kind === 'r');
  const unreadable = ours.filter((relation) => !relation.readable && relation.kind !== 'm');
  const secured = tables.filter((relation) => relation.rowSecurity && relation.readable);
  const keyless = tables.filter((relation) => relation.withoutIdentity && !relation.isPartition);
  const unlogged = tables.filter((relation) => relation.persistence === 'u');
  return [
    unreadable.length === 0
      ? ok('source.rights', `all ${tables.length} tables can be read`)
      : {
          level: 'error',
          check: 'source.rights',
          message: `no right to read ${named(unreadable)}`,
          remedy: 'GRANT pg_read_all_data TO the role (PostgreSQL 14 and newer), or --exclude them',
        },
    secured.length === 0
      ? ok('source.row_security', 'no row is hidden from this role')
      : {
          level: 'error',
          check: 'source.row_security',
          message: `row-level security hides rows of ${named(secured)}`,
          remedy: 'ALTER ROLE … BYPASSRLS, use the owner of the tables, or --exclude them',
        },
    ...(keyless.length === 0
      ? []
      : [
          info(
            'source.identity',
            `without primary key or replica identity: ${named(keyless)}; snapshots hold them, a change stream could carry only inserts`,
          ),
        ]),
    ...(unlogged.length === 0
      ? []
      : [info('source.unlogged', `unlogged, so their rows are in no backup: ${named(unlogged)}`)]),
    ok('source.profile', profile),
  ];
}

async function largeObjectFindings(session: Connection): Promise<Finding[]> {
  const [row] = await session.query<{ count: string }>(
    'SELECT count(*)::text AS "count" FROM pg_largeobject_metadata',
  );
  return row?.count === '0'
    ? []
    : [
        info(
          'source.large_objects',
          `${row?.count} large objects: snapshots hold them, change streams don’t`,
        ),
      ];
}

function named(relations: readonly Relation[]): string {
  const names = relations.slice(0, 5).map((relation) => displayRelation(relation));
  return relations.length > 5 ? `${names.join(', ')} and ${relations.length - 5} more` : names.join(', ');
}

function ok(check: string, message: string): Finding {
  return { level: 'ok', check, message };
}

function info(check: string, message: string): Finding {
  return { level: 'info', check, message };
}

export function ofFailure(check: string, failure: Failure): Finding {
  return { level: 'error', check, message: `${failure.message} (${failure.code})`, remedy: failure.remedy };
}
