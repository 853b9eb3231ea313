import type { RunFacts } from '../archive/stream-documents.ts';
import type { RelationName } from '../model/identifiers.ts';
import { formatLsn } from '../model/lsn.ts';
import { applies } from '../model/xid.ts';
import type { ReplayTie } from '../model/xid.ts';
import type { DefinitionEvent, ReplayRequest } from '../replay/request.ts';
import { SchemaChanges } from '../replay/schema-changes/schema-changes.ts';
import type { NotApplied, SchemaChangesOptions } from '../replay/schema-changes/schema-changes.ts';
import type { ReplaySession } from '../replay/session.ts';
import type { SourceTransaction } from '../replay/transaction-cursor.ts';
import type { Continuation } from '../restore/request.ts';
import type { PointOutcome } from './outcome.ts';
import { DDL_PREFIX, SchemaMessages } from './schema-messages.ts';

type Restore = Omit<Parameters<Continuation['run']>[0], 'id' | 'isFinished' | 'signal'>;

/** Which schema changes a replay makes, of those that its stream has, and what it says of the others. */
export class ReplayedSchema {
  readonly #session: ReplaySession;
  readonly #tie: ReplayTie;
  readonly #restore: Restore;
  readonly #messages = new SchemaMessages();
  readonly #changes: SchemaChanges;
  readonly #notApplied: NotApplied[] = [];
  #ignored = 0;
  #isComplete = false;

  constructor(
    options: Restore & {
      readonly session: ReplaySession;
      readonly tie: ReplayTie;
      readonly isWanted: (relation: RelationName & { readonly oid: number }) => boolean;
      readonly isShown: SchemaChangesOptions['isShown'];
    },
  ) {
    const { session, tie, isWanted, isShown, ...restore } = options;
    this.#session = session;
    this.#tie = tie;
    this.#restore = restore;
    const only = restore.isPart ? isWanted : undefined;
    this.#changes = new SchemaChanges({
      objects: restore.objects,
      owners: restore.owners,
      only,
      ...(isShown && { isShown }),
    });
  }

  run(facts: Pick<RunFacts, 'schemaChanges'>): void {
    this.#messages.run(facts);
  }

  /** Of all runs of this restore, so what it counts here is counted again by the one that goes on. */
  message(
    { prefix, content }: { readonly prefix: string; readonly content: Buffer },
    transaction: SourceTransaction,
  ): void {
    if (prefix !== DDL_PREFIX || !applies(transaction, this.#tie)) return;
    const worth = this.#messages.worth(content, transaction.xid);
    if (worth === 'ignored') this.#ignored += 1;
    else if (worth === 'unproven')
      this.#refuse(transaction, 'whether the source wrote it was not recorded when it was captured');
    else if (!this.#session.mayBeReplica)
      this.#refuse(transaction, 'the role may not set session_replication_role: triggers would fire');
  }

  /** Where triggers and foreign keys can't rest, they come last, and definitions stay what the snapshot had. */
  get callbacks(): Pick<ReplayRequest, 'definitions' | 'beforeDefinitions'> {
    if (!this.#session.mayBeReplica) return {};
    return {
      beforeDefinitions: (event) => {
        if (this.#isComplete || !this.#counts(event)) return undefined;
        return async () => {
          await this.#restore.complete();
          this.#isComplete = true;
        };
      },
      definitions: (event, connection) =>
        this.#counts(event) ? this.#changes.apply(event, connection) : Promise.resolve(undefined),
    };
  }

  async outcome(): Promise<Pick<PointOutcome, 'schemaChanges' | 'ignoredMessages'>> {
    const { notApplied, ...report } = await SchemaChanges.report(this.#session.connection);
    return {
      schemaChanges: { ...report, notApplied: [...notApplied, ...this.#notApplied] },
      ignoredMessages: this.#ignored,
    };
  }

  #counts(event: DefinitionEvent): boolean {
    return event.kind === 'drift' || this.#messages.worth(event.content, event.transaction.xid) === 'proven';
  }

  #refuse({ xid, commitLsn }: SourceTransaction, why: string): void {
    this.#notApplied.push({
      what: 'a schema change',
      why,
      xid: String(xid),
      commitLsn: formatLsn(commitLsn),
    });
  }
}
