import { Failure } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import { applies } from '../model/xid.ts';
import type { ReplayTie } from '../model/xid.ts';
import type { RelationInForce, RelationsInForce } from '../pgoutput/relations-in-force.ts';
import type { ReplayRequest } from './request.ts';
import type { ReplaySession } from './session.ts';
import { findBlockers, findDrift, readCatalog, targetTable } from './target-table.ts';
import type { TargetTable } from './target-table.ts';
import type { SourceTransaction } from './transaction-cursor.ts';

/** A relation of the stream and what becomes of its changes. */
export interface Bound {
  inForce: RelationInForce;
  /** Undefined: they are not replayed. */
  readonly tie: ReplayTie | undefined;
  /** The target's table, once one of them is. */
  table: TargetTable | undefined;
  /** Whether the tie lets this transaction pass. */
  decidedFor: SourceTransaction | undefined;
  applies: boolean;
}

/** Our own, on the source and on a target that is a source by now. */
const OWN_SCHEMAS: ReadonlySet<string> = new Set(['tidemark', 'tidemark_restore']);

/** Relations by their number in the stream, as the definition in force has them, and their tables on the target. */
export class BoundTables {
  readonly #relations: RelationsInForce;
  readonly #session: ReplaySession;
  readonly #tieOf: NonNullable<ReplayRequest['tieOf']>;
  readonly #bound = new Map<number, Bound>();

  constructor(relations: RelationsInForce, session: ReplaySession, request: ReplayRequest) {
    this.#relations = relations;
    this.#session = session;
    this.#tieOf = request.tieOf ?? (() => request.tie);
  }

  /** Whether the relation's changes of this transaction are to be applied. */
  get(oid: number, transaction: SourceTransaction): Bound | undefined {
    const inForce = this.#relations.get(oid);
    if (inForce === undefined)
      throw new Failure('integrity.format', `changes of relation ${oid} come before its description`);
    let bound = this.#bound.get(oid);
    if (bound === undefined || !isSame(bound, inForce)) {
      const tie = OWN_SCHEMAS.has(inForce.relation.schema) ? undefined : this.#tieOf(inForce.relation);
      bound = { inForce, tie, table: undefined, decidedFor: undefined, applies: false };
      this.#bound.set(oid, bound);
    }
    if (bound.tie === undefined) return undefined;
    if (bound.decidedFor !== transaction) {
      bound.decidedFor = transaction;
      bound.applies = applies(transaction, bound.tie);
    }
    return bound.applies ? bound : undefined;
  }

  /**
   * The table on the target, or how it differs from the definition in force; `called`: its name there, where it is
   * another. Fails with `target.blocked`.
   */
  async look(bound: Bound, called?: RelationName): Promise<readonly string[]> {
    const { connection, mayBeReplica } = this.#session;
    const relation = { ...bound.inForce.relation, ...called };
    const catalog = await readCatalog(connection, relation);
    const inForce = { ...bound.inForce, relation };
    const drift = findDrift(inForce, catalog);
    if (drift.length > 0) return drift;
    const blockers = findBlockers(catalog, { replica: mayBeReplica });
    if (blockers.length > 0) {
      const name = displayRelation(relation);
      throw new Failure(
        'target.blocked',
        `${name} has on the target what would run: ${blockers.join(', ')}`,
        {
          facts: { table: name, blockers },
          remedy: 'disable it for the replay, or restore it afterwards',
        },
      );
    }
    bound.table = targetTable(inForce, catalog);
    return [];
  }

  /** To be called when definitions on the target may have changed. */
  forget(): void {
    for (const bound of this.#bound.values()) bound.table = undefined;
  }
}

/** Each run repeats the messages in force: the same words are the same definition. */
function isSame(bound: Bound, inForce: RelationInForce): boolean {
  const known = bound.inForce;
  if (known === inForce) return true;
  const same =
    known.raw.equals(inForce.raw) &&
    known.types.length === inForce.types.length &&
    known.types.every((type, place) => type.raw.equals(inForce.types[place]?.raw ?? Buffer.alloc(0)));
  if (same) bound.inForce = inForce;
  return same;
}
