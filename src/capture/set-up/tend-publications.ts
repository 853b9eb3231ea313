import { createHash } from 'node:crypto';
import type { CaptureNames } from '../../model/capture-names.ts';
import type { CaptureTable } from '../../postgres/capture-probe.ts';
import type { ConnectionSettings } from '../../postgres/connection-settings.ts';
import { planPublications } from './plan-publications.ts';
import { openSetUpSession, runAlone } from './set-up-source.ts';
import { takeSetUpLock } from './set-up-lock.ts';
import { readSourceState } from './state.ts';

/**
 * What publications and tables lack of being in line, as one text; undefined when nothing. Whether this role may mend it
 * is not asked. Pure.
 */
export function outOfLine(tables: readonly CaptureTable[], allTables: boolean): string | undefined {
  const wrong = tables.filter((table) => {
    if (table.kind === 'f') return false;
    const published = table.persistence === 'p';
    const hasIdentity = published && table.kind === 'r' && table.identityProblem === null;
    const rows = !allTables && (table.inRows !== published || table.rowsFiltered);
    return rows || table.inChanges !== hasIdentity || table.changesFiltered;
  });
  if (wrong.length === 0) return undefined;
  const text = wrong.map(({ oid, identityProblem, members }) => `${oid} ${identityProblem} ${members}`);
  return createHash('sha256').update(text.join()).digest('hex');
}

/**
 * Brings the publications in line with the tables, as far as the role may: what event triggers do within the
 * application's transaction, a little later. Answers with what was done, or could not be now. Fails as `setUpSource`.
 */
export async function tendPublications(
  settings: ConnectionSettings,
  names: CaptureNames,
  signal: AbortSignal,
): Promise<{ readonly done: string[]; readonly pending: string[] }> {
  await using session = await openSetUpSession(settings, signal);
  await takeSetUpLock(session, signal);
  const { steps } = planPublications(await readSourceState(session, names), names);
  const done: string[] = [];
  const pending: string[] = [];
  for (const step of steps) {
    if (step.kind !== 'table') continue;
    const problem = await runAlone(session, step);
    if (problem === undefined) done.push(step.title);
    else pending.push(`${step.title}: ${problem}`);
  }
  return { done, pending };
}
