import type { CaptureNames } from '../../model/capture-names.ts';
import { Failure } from '../../model/failure.ts';
import type { CaptureServer } from '../../postgres/capture-probe.ts';
import { isSlotLost } from '../../postgres/slot.ts';
import { planPublications } from './plan-publications.ts';
import type { SourceState } from './state.ts';

const WAL_LEVEL: Readonly<Record<CaptureServer['provider'], string>> = {
  plain: 'ALTER SYSTEM SET wal_level = logical, then restart the server',
  supabase: 'projects run with wal_level = logical; ask Supabase’s support why this one does not',
  rds: 'set rds.logical_replication = 1 in the parameter group, then reboot the instance',
  cloudsql: 'set the flag cloudsql.logical_decoding = on (the instance restarts)',
  azure: 'set the server parameter wal_level to logical, then restart the server',
  neon: 'enable logical replication in the project’s settings',
};
const REPLICATION: Readonly<Record<CaptureServer['provider'], string>> = {
  plain: 'as a superuser: ALTER ROLE … REPLICATION',
  supabase: 'use the role postgres, which has REPLICATION',
  rds: 'as the master user: GRANT rds_replication TO …',
  cloudsql: 'as an admin user: ALTER USER … REPLICATION',
  azure: 'as the admin: ALTER ROLE … REPLICATION',
  neon: 'use a role made in the console, which has REPLICATION',
};

/**
 * What has to change before changes can be captured, worst first; empty when nothing stands in the way. For a DBA
 * (`dba`), who may do everything, only what no statement can bring about.
 */
export function blockers(state: SourceState, names: CaptureNames, options = { dba: false }): Failure[] {
  const { facts, server } = state;
  if (facts.inRecovery) {
    return [
      new Failure('source.standby', 'the server is a standby: changes are captured on the primary', {
        remedy: 'give the primary’s URL',
      }),
    ];
  }
  const major = Math.trunc(facts.versionNumber / 10_000);
  return [
    ...(major < 14 ? [new Failure('source.unsupported', `PostgreSQL ${facts.versionText}`)] : []),
    ...(server.walLevel === 'logical'
      ? []
      : [
          new Failure('source.wal_level', `wal_level is ${server.walLevel}, changes need logical`, {
            facts: { walLevel: server.walLevel, provider: server.provider },
            remedy: WAL_LEVEL[server.provider],
          }),
        ]),
    ...(options.dba ? [] : roleBlockers(state, names)),
    ...slotBlockers(state, names),
  ];
}

function roleBlockers(state: SourceState, names: CaptureNames): Failure[] {
  const { abilities, server, publications } = state;
  const found: Failure[] = [];
  if (abilities.slot === 'denied') {
    found.push(
      new Failure('source.no_replication', `role ${server.role} may not use replication slots`, {
        facts: { role: server.role },
        remedy: REPLICATION[server.provider],
      }),
    );
  }
  if (server.schema && !server.schemaOwned && !server.schemaOfSuperuser) {
    found.push(
      permission(
        `schema tidemark belongs to ${server.schemaOwner}, who could replace what is put there`,
        'drop that schema if it is not Tidemark’s, or run as its owner',
      ),
    );
  }
  const missing = [names.rows, names.changes].filter((name) => !publications.some((p) => p.name === name));
  if (missing.length > 0 && !abilities.publication) {
    found.push(
      permission(
        `role ${server.role} may not make publications in this database`,
        'GRANT CREATE ON DATABASE … TO the role, or have a DBA run what `tidemark init --capture --print-sql` prints',
      ),
    );
  }
  const decided = planPublications(state, names).tables;
  if (decided.whole + decided.insertOnly.length === 0 && decided.notCaptured.length > 0) {
    found.push(
      permission(
        `role ${server.role} may publish none of the ${decided.notCaptured.length} tables`,
        'use the owner of the tables, or have a DBA run what `tidemark init --capture --print-sql` prints',
      ),
    );
  }
  return found;
}

function slotBlockers(
  { abilities, facts, server, slot, publications }: SourceState,
  names: CaptureNames,
): Failure[] {
  if (slot === undefined) {
    if (abilities.slot !== 'none_free') return [];
    const message = `all ${server.slotsMax} replication slots (max_replication_slots) are in use`;
    return [new Failure('source.no_slot', message, { facts: { slotsMax: server.slotsMax } })];
  }
  if (slot.plugin !== 'pgoutput' || slot.database !== facts.databaseName || slot.temporary) {
    return [
      new Failure(
        'source.slot_in_use',
        `slot ${slot.name} is somebody else’s (${slot.database ?? 'physical'})`,
        {
          facts: { slot: slot.name },
          remedy: 'drop that slot if nobody needs it, or give this source another name with --source',
        },
      ),
    ];
  }
  const incomplete = isSlotLost(slot) || publications.length < 2;
  if (!incomplete || slot.activePid === null) return [];
  return [
    new Failure(
      'source.slot_in_use',
      `slot ${names.slot} has to be made anew, but pid ${slot.activePid} streams from it`,
      {
        facts: { slot: names.slot, pid: slot.activePid },
        remedy: 'stop `tidemark capture`, then run again',
      },
    ),
  ];
}

function permission(message: string, remedy: string): Failure {
  return new Failure('source.permission', message, { remedy });
}
