import { Failure } from '../../model/failure.ts';
import { displayRelation, quoteRelation } from '../../model/identifiers.ts';
import type { RelationName } from '../../model/identifiers.ts';
import type { Connection } from '../../postgres/connection.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import type { DefinitionEvent } from '../request.ts';
import type { SourceTransaction } from '../transaction-cursor.ts';
import { NOTHING } from './change-plan.ts';
import type { ChangePlan } from './change-plan.ts';
import { parseSchemaMessage } from '../../archive/schema-message.ts';
import type { DroppedObject, RelationDescription, SchemaMessage } from '../../archive/schema-message.ts';
import { droppedPart, planDrop, tableOf } from './plan-drop.ts';
import { planInference } from './plan-inference.ts';
import { planName } from './plan-relation.ts';
import { stepsOf } from './steps.ts';
import { TargetCatalog } from './target-catalog.ts';
import type { SourceObject } from './target-catalog.ts';
import { typesOf } from './types-of.ts';
import { Work } from './work.ts';

export interface SchemaChangesOptions {
  /** Of the snapshot that was restored. */
  readonly objects: readonly SourceObject[];
  /** Some tables are restored, not all that there is: these, by their OIDs on the source or their names. */
  readonly only: ((relation: RelationName & { readonly oid: number }) => boolean) | undefined;
  readonly owners: boolean;
  /**
   * Whether a table's rows come from a later snapshot than all else, which shows this transaction already. It is made there as in
   * the snapshot that its definition comes from, so what was changed of it in between has come to nothing.
   */
  readonly isShown?: (
    table: { readonly oid: number } | RelationName,
    transaction: SourceTransaction,
  ) => boolean;
}

/** What became of one: nothing is half applied, so one that failed has left no trace but this. */
export interface NotApplied {
  readonly what: string;
  readonly why: string;
  readonly xid: string;
  readonly commitLsn: string;
}

export interface SchemaChangeReport {
  readonly applied: number;
  /** Made from what the changes prove alone. */
  readonly inferred: readonly string[];
  readonly notApplied: readonly NotApplied[];
}

/**
 * Brings the source's schema changes to the target, in the transaction that holds the rows around them. From
 * descriptions alone, each as a whole or not at all; what became of them is kept on the target, so a restore that goes
 * on tells of all. One session's; messages must have been proven before (P12).
 */
export class SchemaChanges {
  readonly #options: SchemaChangesOptions;
  #roles: ReadonlySet<string> | undefined;

  constructor(options: SchemaChangesOptions) {
    this.#options = options;
  }

  /**
   * How a drifted table is called on the target, where the stream has another name for it. Fails with `target.drift`
   * where rows have become others than the changes tell.
   */
  async apply(event: DefinitionEvent, connection: Connection): Promise<RelationName | undefined> {
    const catalog = new TargetCatalog(connection);
    await catalog.install(this.#options.objects);
    this.#roles ??= await rolesOf(connection);
    const work = new Work(connection, event.transaction);
    const called = event.kind === 'drift' ? await this.#drifted(event, catalog, work) : undefined;
    if (event.kind === 'message') await this.#message(event, catalog, work);
    await failpoint('restore.schema-changed');
    return called;
  }

  /** What became of all of them, by all runs. */
  static async report(connection: Connection): Promise<SchemaChangeReport> {
    const [exists] = await connection.query<{ exists: boolean }>(
      `SELECT to_regclass('tidemark_restore.schema_change') IS NOT NULL AS "exists"`,
    );
    if (exists?.exists !== true) return { applied: 0, inferred: [], notApplied: [] };
    const rows = await connection.query<NotApplied & { readonly how: string }>(
      `SELECT how, what, coalesce(why, '') AS "why", xid::text AS "xid", commit_lsn::text AS "commitLsn"
         FROM tidemark_restore.schema_change ORDER BY number`,
    );
    return {
      applied: rows.filter(({ how }) => how === 'applied').length,
      inferred: rows.filter(({ how }) => how === 'inferred').map(({ what }) => what),
      notApplied: rows
        .filter(({ how }) => how === 'not applied')
        .map(({ what, why, xid, commitLsn }) => ({ what, why, xid, commitLsn })),
    };
  }

  async #message(
    { content, transaction }: Extract<DefinitionEvent, { kind: 'message' }>,
    catalog: TargetCatalog,
    work: Work,
  ): Promise<void> {
    const message = await this.#withoutShown(read(content), catalog, transaction);
    if (typeof message === 'string') return work.tell('not applied', 'a schema change', message);
    if (message.cut === true)
      return work.tell('not applied', message.tag, 'its description was too long to be recorded');
    switch (message.kind) {
      case 'rewrite':
        return refuseRewrite(
          message,
          catalog,
          this.#isWanted(message.relation) && !this.#isShown(message.relation, transaction),
        );
      case 'drop': {
        const steps = [{ plan: () => dropPlan(message, catalog) }];
        return work.run(nameOf(message), { steps, problems: [] });
      }
      case 'ddl':
        return this.#described(message, catalog, work);
    }
  }

  async #described(
    message: Extract<SchemaMessage, { kind: 'ddl' }>,
    catalog: TargetCatalog,
    work: Work,
  ): Promise<void> {
    const owners = (role: string): boolean => this.#options.owners && this.#roles?.has(role) === true;
    const { steps, problems } = stepsOf(message, {
      catalog,
      owners,
      isWanted: (relation) => this.#isWanted(relation),
      isPart: this.#options.only !== undefined,
    });
    if (steps.length + problems.length === 0) return;
    await work.run(nameOf(message), { steps, problems });
    for (const relation of message.relations) await work.describes(relation);
    await this.#tellOwners(message, work);
  }

  #isShown(relation: { readonly oid: string }, transaction: SourceTransaction): boolean {
    return this.#options.isShown?.({ oid: Number(relation.oid) }, transaction) === true;
  }

  async #withoutShown(
    message: SchemaMessage | string,
    catalog: TargetCatalog,
    transaction: SourceTransaction,
  ): Promise<SchemaMessage | string> {
    const { isShown } = this.#options;
    if (isShown === undefined || typeof message === 'string' || message.kind === 'rewrite') return message;
    if (message.kind === 'ddl')
      return {
        ...message,
        relations: message.relations.filter((relation) => !this.#isShown(relation, transaction)),
      };
    const objects: DroppedObject[] = [];
    for (const object of message.objects) {
      const table = tableOf(object) ?? (await catalog.tableOfIndex(object));
      if (table === undefined || !isShown(table, transaction)) objects.push(object);
    }
    return { ...message, objects };
  }

  async #tellOwners(message: Extract<SchemaMessage, { kind: 'ddl' }>, work: Work): Promise<void> {
    if (!this.#options.owners) return;
    const owners = [...message.relations, ...message.objects.flatMap(({ details }) => details ?? [])];
    const missing = new Set(
      owners.flatMap(({ owner }) => owner ?? []).filter((role) => this.#roles?.has(role) === false),
    );
    for (const role of missing)
      await work.tell('not applied', nameOf(message), `its owner ${role} is no role of the target`);
  }

  /**
   * A table is found by its number on the source first. Older servers go on sending its old name when its schema gets
   * another one: pgoutput keeps the names that it looked up.
   */
  async #drifted(
    event: Extract<DefinitionEvent, { kind: 'drift' }>,
    catalog: TargetCatalog,
    work: Work,
  ): Promise<RelationName | undefined> {
    const { schema, name, oid } = event.inForce.relation;
    const there = await catalog.relation({ oid: String(oid), schema, name });
    if (there !== undefined && there.name === name && !(await catalog.hasSchema(schema)))
      return { schema: there.schema, name: there.name };
    await this.#infer(event, there, { catalog, work });
    return undefined;
  }

  async #infer(
    { inForce, findings }: Extract<DefinitionEvent, { kind: 'drift' }>,
    there: RelationDescription | undefined,
    { catalog, work }: { readonly catalog: TargetCatalog; readonly work: Work },
  ): Promise<void> {
    const { relation } = inForce;
    const name = displayRelation(relation);
    const named = async (): Promise<ChangePlan> =>
      Promise.resolve(there === undefined ? NOTHING : planName({ ...there, ...nameIn(relation) }, there));
    const plan = async (): Promise<ChangePlan> =>
      planInference(relation, there, await typesOf(work.connection, inForce));
    const noted = async (): Promise<ChangePlan> => {
      await catalog.note([{ catalog: 'pg_class', oid: String(relation.oid), name: quoteRelation(relation) }]);
      return NOTHING;
    };
    await work.run(`${name} ${findings.join(', ')}`, {
      steps: [{ plan: named }, { plan }, { plan: noted }],
      problems: [],
      inferred: { made: there === undefined ? name : undefined },
    });
  }

  #isWanted({ oid, schema, name }: RelationName & { readonly oid: string }): boolean {
    const { only } = this.#options;
    return only === undefined || only({ oid: Number(oid), schema, name });
  }
}

/** A message in words for the report, or why it can't be read. */
function read(content: Buffer): SchemaMessage | string {
  try {
    return (
      parseSchemaMessage(content) ??
      'functions of an older version recorded it: run `tidemark init --capture` on the source'
    );
  } catch (error) {
    if (error instanceof Failure && error.code === 'integrity.format') return error.message;
    throw error;
  }
}

function nameOf(message: SchemaMessage): string {
  if (message.kind === 'rewrite') return `${message.tag} ${displayRelation(message.relation)}`;
  const objects: readonly { readonly identity?: string | undefined }[] =
    message.kind === 'drop' ? message.objects.filter(({ original }) => original) : message.objects;
  const names = objects.flatMap(({ identity }) => identity ?? []);
  return [message.tag, [...new Set(names)].join(', ')].join(' ').trim();
}

async function dropPlan(
  { objects, tag }: Extract<SchemaMessage, { kind: 'drop' }>,
  catalog: TargetCatalog,
): Promise<ChangePlan> {
  const inherited = new Set<string>();
  for (const object of objects) {
    const part = droppedPart(object);
    if (part !== undefined && (await catalog.isInherited(part))) inherited.add(JSON.stringify(part));
  }
  return planDrop(objects, { tag, isInherited: (part) => inherited.has(JSON.stringify(part)) });
}

/** Rows that a table has are others now, and no change says which. */
async function refuseRewrite(
  { relation, tag }: Extract<SchemaMessage, { kind: 'rewrite' }>,
  catalog: TargetCatalog,
  isWanted: boolean,
): Promise<void> {
  if (!isWanted) return;
  const there = await catalog.relation(relation);
  if (there === undefined || there.kind !== 'r' || !(await catalog.hasRows(there))) return;
  const table = displayRelation(relation);
  throw new Failure(
    'target.drift',
    `${tag} has rewritten ${table}: its rows got values that no change carries`,
    { facts: { table } },
  );
}

async function rolesOf(connection: Connection): Promise<ReadonlySet<string>> {
  const rows = await connection.query<{ name: string }>('SELECT rolname AS "name" FROM pg_roles');
  return new Set(rows.map(({ name }) => name));
}

function nameIn({ schema, name }: RelationName): RelationName {
  return { schema, name };
}
