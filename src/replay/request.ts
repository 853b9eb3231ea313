import type { StoredRecord } from '../archive/record.ts';
import type { RelationName } from '../model/identifiers.ts';
import type { ReplayTie } from '../model/xid.ts';
import type { RelationInForce } from '../pgoutput/relations-in-force.ts';
import type { Connection } from '../postgres/connection.ts';
import type { InputReach, StopTarget } from './stop.ts';
import type { SourceTransaction } from './transaction-cursor.ts';

/** Something about the source's definitions that rows alone don't tell. */
export type DefinitionEvent = { readonly transaction: SourceTransaction } & (
  | {
      /** A message `tidemark:ddl`: anyone may have sent it, so it must be proven first (P12). */
      readonly kind: 'message';
      readonly content: Buffer;
    }
  | {
      /** The table of the target is not what the changes that come next were made on. */
      readonly kind: 'drift';
      readonly inForce: RelationInForce;
      readonly findings: readonly string[];
    }
);

/**
 * What must be done on the target by other sessions before definitions change there: all changes before are committed
 * first. Undefined: nothing.
 */
type BeforeDefinitions = (event: DefinitionEvent) => (() => Promise<void>) | undefined;

/**
 * May alter the target, in the transaction that is open there and holds all changes before: then tables are looked at
 * anew. `connection` must not commit. What it leaves drifted is `target.drift`; it answers how a drifted table
 * is called on the target, where that is not its name in the stream.
 */
type DefinitionsCallback = (
  event: DefinitionEvent,
  connection: Connection,
) => Promise<RelationName | undefined>;

export interface ReplayLimits {
  /** Of one transaction on the target; also what waits in memory. */
  readonly changes: number;
  readonly bytes: number;
}

export interface ReplayRequest {
  /** What is replayed onto what, and how far: only the same replay goes on where it stopped. */
  readonly id: string;
  /** In stream order, some at a time (a member's); their messages may be views. */
  readonly records: AsyncIterable<Iterable<StoredRecord>>;
  readonly stop: StopTarget;
  readonly reach: InputReach;
  /** Of the snapshot that was restored before. */
  readonly tie: ReplayTie;
  /** Which tables are replayed, and onto which snapshot each. Without it all, by `tie`. Our own schemas never are. */
  readonly tieOf?: (relation: RelationName & { readonly oid: number }) => ReplayTie | undefined;
  /** Narrows further which transactions are applied: those that a later snapshot sees, or does not see. */
  readonly only?: (transaction: SourceTransaction) => boolean;
  readonly definitions?: DefinitionsCallback;
  readonly beforeDefinitions?: BeforeDefinitions;
  /** Each transactional logical message of the input, also of what an earlier run has done. Its content is a view. */
  readonly onMessage?: (
    message: { readonly prefix: string; readonly content: Buffer },
    transaction: SourceTransaction,
  ) => void;
  readonly limits?: Partial<ReplayLimits>;
  readonly signal: AbortSignal;
  /** After each transaction on the target. */
  readonly onProgress?: (progress: {
    readonly transaction: SourceTransaction;
    readonly changes: number;
  }) => void;
}

export interface ReplayReport {
  /** The end of the prefix of history that the target holds now. */
  readonly lastApplied: SourceTransaction | undefined;
  /** The last one that has rows or truncates, of whatever table: the others move no data. */
  readonly lastChanged: SourceTransaction | undefined;
  /** What the input had next, when the target was met before its end. */
  readonly firstNotApplied: SourceTransaction | undefined;
  /** Made by this run: rows inserted, updated and deleted, and truncates. */
  readonly changes: number;
  /** By this run and those before it. */
  readonly changesInAll: number;
  /** Went on where an earlier run had stopped. */
  readonly continued: boolean;
}
