import type { CaptureNames } from '../../model/capture-names.ts';
import { sourceSql } from '../../postgres/source-sql.ts';
import { planSetUp } from './plan.ts';
import { blockers } from './preconditions.ts';
import { openSetUpSession } from './set-up-source.ts';
import type { SetUpRequest } from './set-up-source.ts';
import { readSourceState } from './state.ts';
import type { SourceState } from './state.ts';
import type { Step } from './step.ts';

/**
 * The whole set-up as SQL for psql, as a DBA would run it who may do everything; the role that captures gets what it
 * needs. Reads only. Fails with what no SQL can bring about, like a wrong wal_level.
 */
export async function printSetUp(
  request: Pick<SetUpRequest, 'settings' | 'names' | 'signal'>,
): Promise<{ readonly sql: string; readonly steps: readonly Step[] }> {
  await using session = await openSetUpSession(request.settings, request.signal);
  const state = await readSourceState(session, request.names);
  const [blocker] = blockers(state, request.names, { dba: true });
  if (blocker !== undefined) throw blocker;
  const { steps } = planForDba(state, request.names);
  return { sql: renderSql(steps, state.server.role), steps };
}

/** The plan for somebody who may do everything, on behalf of the role. */
export function planForDba(state: SourceState, names: CaptureNames): { readonly steps: readonly Step[] } {
  const { role } = state.server;
  const everything = {
    publication: true,
    allTables: true,
    eventTrigger: true,
    tablesOfOthers: true,
  } as const;
  const { steps } = planSetUp(
    {
      ...state,
      abilities: { ...state.abilities, ...everything },
      server: { ...state.server, schemaOwned: true },
      publications: state.publications.map((publication) => ({ ...publication, owned: true })),
    },
    names,
  );
  const object = (title: string, file: string): Step => ({
    kind: 'object',
    title,
    sql: sourceSql(file, { role }),
  });
  return {
    steps: [
      ...steps.filter((step) => step.kind === 'slot-drop'),
      ...(state.abilities.slot === 'denied' ? [object(`${role} may replicate`, 'replication')] : []),
      ...steps.filter((step) => step.kind === 'object'),
      ...(steps.some((step) => step.kind === 'object')
        ? [object(`${role} may read source id and secret`, 'hand-over')]
        : []),
      ...steps.filter((step) => step.kind === 'table' || step.kind === 'slot'),
    ],
  };
}

/** One script: objects in one transaction, the rest statement by statement; psql ends at the first error. */
export function renderSql(steps: readonly Step[], role: string): string {
  if (steps.length === 0) return '-- nothing to do: all is as it should be\n';
  const lines = [
    '-- Tidemark: change capture. Run with psql in the database of the source.',
    `-- The role that captures: ${role.replaceAll(/\s/g, ' ')}`,
    '\\set ON_ERROR_STOP on',
    `SET lock_timeout = '2s';`,
    `SET search_path = pg_catalog;`,
  ];
  let inTransaction = false;
  for (const step of steps) {
    const wanted = step.kind === 'object';
    if (wanted !== inTransaction) lines.push('', wanted ? 'BEGIN;' : 'COMMIT;');
    inTransaction = wanted;
    lines.push('', `-- ${step.title.replaceAll(/\s/g, ' ')}`, step.sql.trimEnd());
  }
  if (inTransaction) lines.push('', 'COMMIT;');
  return `${lines.join('\n')}\n`;
}
