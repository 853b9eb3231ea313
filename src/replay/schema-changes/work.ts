import { Failure } from '../../model/failure.ts';
import { displayRelation } from '../../model/identifiers.ts';
import type { RelationName } from '../../model/identifiers.ts';
import { formatLsn } from '../../model/lsn.ts';
import type { Connection } from '../../postgres/connection.ts';
import type { SourceTransaction } from '../transaction-cursor.ts';
import type { Step } from './steps.ts';

type Fate = 'applied' | 'inferred' | 'not applied';

interface Asked {
  readonly steps: readonly Step[];
  readonly problems: readonly string[];
  /** The changes alone tell of it; `made`: the table that it made, until a description of that comes behind its rows. */
  readonly inferred?: { readonly made: string | undefined };
}

/** Runs a schema change's steps within the open transaction, all or none, and writes down what became of it. */
export class Work {
  readonly connection: Connection;
  readonly #transaction: SourceTransaction;

  constructor(connection: Connection, transaction: SourceTransaction) {
    this.connection = connection;
    this.#transaction = transaction;
  }

  async run(what: string, { steps, problems, inferred }: Asked): Promise<void> {
    if (problems.length > 0) return this.tell('not applied', what, problems.join('; '));
    await this.connection.execute('SAVEPOINT schema_change');
    const why = await this.#attempt(steps);
    if (why === undefined) {
      await this.connection.execute('RELEASE SAVEPOINT schema_change');
      return this.tell(inferred === undefined ? 'applied' : 'inferred', what, undefined, inferred?.made);
    }
    await this.connection.execute('ROLLBACK TO SAVEPOINT schema_change; RELEASE SAVEPOINT schema_change');
    // What is missing shows in the changes that come: they fail as they would have.
    if (inferred === undefined) await this.tell('not applied', what, why);
  }

  /** A table that was made for its rows is known now: CREATE TABLE AS tells of it when they are there. */
  async describes(relation: RelationName): Promise<void> {
    await this.connection.query(
      `DELETE FROM tidemark_restore.schema_change WHERE how = 'inferred' AND relation = $1`,
      [displayRelation(relation)],
    );
  }

  async tell(how: Fate, what: string, why?: string, relation?: string): Promise<void> {
    const { commitLsn, xid } = this.#transaction;
    await this.connection.query(
      `INSERT INTO tidemark_restore.schema_change (commit_lsn, xid, what, how, why, relation) VALUES ($1::pg_lsn, $2::bigint, $3, $4, $5, $6)`,
      [formatLsn(commitLsn), xid, what, how, why ?? null, relation ?? null],
    );
  }

  /** Why it can't be done; undefined when it is. */
  async #attempt(steps: readonly Step[]): Promise<string | undefined> {
    try {
      for (const step of steps) {
        const { statements, problems } = await step.plan();
        if (problems.length > 0) return problems.join('; ');
        // One by one: each is parsed when those before it have been done.
        for (const statement of statements) await this.connection.execute(statement);
      }
      return undefined;
    } catch (error) {
      // Only what the server says of a statement: a lost connection ends the restore.
      if (!(error instanceof Failure) || error.facts['sqlstate'] === undefined) throw error;
      return error.message;
    }
  }
}
