import type { TableEntry } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import type { Connection } from '../postgres/connection.ts';
import { selectFromDump } from './dump-selection.ts';
import { advanceOwnedSequences, emptyingOf, mayBeReplica, refuseUnfit } from './in-place.ts';
import type { RestorePlan } from './plan.ts';
import type { RestoreProgress } from './progress.ts';
import { readDumpList } from './read-schema.ts';
import type { RestoreRequest } from './request.ts';
import { byPsql, pgRestore, selectDumpIds, toolsFor } from './restore-dump.ts';

const ITEM = 'phase:dump-data';

/**
 * Rows of a snapshot of engine pg_dump into tables that are all there, in one transaction that also records it. Triggers
 * and foreign keys are off meanwhile, as a dump is not in the order of references. Fails with `target.permission`
 * where the role may not turn them off.
 */
export async function loadDump(
  connection: Connection,
  request: RestoreRequest,
  work: {
    readonly plan: RestorePlan;
    /** Those that the platform made. */
    readonly existing: readonly TableEntry[];
    readonly progress: RestoreProgress;
  },
): Promise<void> {
  const { plan, existing, progress } = work;
  if (!progress.has(ITEM) && plan.tables.length > 0) {
    await refuseUnfit(connection, request, existing);
    await refuseTriggers(connection);
    const tools = toolsFor(request);
    const nothing = { preData: [], postData: [], materializedViews: [] };
    const ids = selectDumpIds(await readDumpList(request, tools), { ...nothing, tables: plan.tables });
    await using selection = await selectFromDump(ids);
    const rows = pgRestore(request, tools, ['--file=-', '--data-only', ...selection.args]);
    const before = `SET LOCAL session_replication_role = 'replica';\n${request.clean ? emptyingOf(existing) : ''}`;
    const after = `SET LOCAL session_replication_role = 'origin';\n${progress.record([ITEM])};`;
    for await (const said of byPsql(request, tools, between(before, rows, after))) void said;
    progress.committed([ITEM]);
  }
  await advanceOwnedSequences(connection, request, existing);
}

async function refuseTriggers(connection: Connection): Promise<void> {
  await connection.execute('BEGIN');
  const may = await mayBeReplica(connection);
  await connection.execute('ROLLBACK');
  if (may) return;
  throw new Failure('target.permission', 'the role may not set session_replication_role', {
    remedy: 'use the project’s own user "postgres", or a snapshot of engine copy, which goes without it',
  });
}

async function* between(before: string, script: AsyncIterable<Buffer>, after: string): AsyncIterable<Buffer> {
  yield Buffer.from(`${before}\n`);
  yield* script;
  yield Buffer.from(`\n${after}\n`);
}
