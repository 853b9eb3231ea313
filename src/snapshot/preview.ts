import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { readRelations, readTableSizes } from '../postgres/inventory.ts';
import { planSnapshot } from './plan.ts';
import type { SnapshotPlan } from './plan.ts';
import { selectRelations } from './select.ts';
import type { Selection } from './select.ts';
import { SourceSessions } from './source-session.ts';

/** What a snapshot would copy, by the sizes of this moment. Takes no lock and writes nothing. */
export async function previewSnapshot(options: {
  readonly settings: ConnectionSettings;
  readonly selection: Selection;
  readonly jobs: number;
  readonly signal: AbortSignal;
}): Promise<{ readonly plan: SnapshotPlan; readonly server: string }> {
  const sessions = new SourceSessions(options.settings, { job: 'snapshot', signal: options.signal });
  const facts = await sessions.probe();
  await using connection = await sessions.open();
  const relations = await readRelations(connection);
  const selected = selectRelations(relations, options.selection, facts.supabase ? 'supabase' : 'postgres');
  const sizes = await readTableSizes(
    connection,
    selected.tables.map((table) => table.oid),
  );
  return { plan: planSnapshot(selected, sizes, { jobs: options.jobs }), server: facts.versionText };
}
