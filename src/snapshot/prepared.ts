import type { Connection } from '../postgres/connection.ts';
import type { Relation, ServerFacts } from '../postgres/inventory.ts';
import type { ExportedSnapshot } from './keeper.ts';
import type { SnapshotPlan } from './plan.ts';
import type { SelectedRelations } from './select.ts';
import type { SourceSessions } from './source-session.ts';

/** What a snapshot has in hand once it is taken and before anything is copied. */
export interface Prepared {
  readonly id: string;
  readonly facts: ServerFacts;
  readonly snapshot: ExportedSnapshot;
  readonly selected: SelectedRelations;
  readonly unreadable: readonly Relation[];
  readonly plan: SnapshotPlan;
  /** The change stream that it is tied to. */
  readonly stream: string | undefined;
  readonly sessions: SourceSessions;
  readonly keeper: Connection;
  readonly watcher: Connection;
  /** Stops the whole snapshot for this reason. */
  readonly failed: (reason: unknown) => void;
}
