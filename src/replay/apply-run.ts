import { Failure } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import type { Tuple } from '../pgoutput/tuple.ts';
import type { Connection } from '../postgres/connection.ts';
import { copyText } from './copy-text.ts';
import { copyStatement, statementOf } from './statements.ts';
import type { Run } from './table-runs.ts';
import type { TargetTable } from './target-table.ts';

/** Unique and exclusion constraints. */
const COLLISIONS: ReadonlySet<unknown> = new Set(['23505', '23P01']);

/** COPY costs a round trip more than a statement, and less for each row. */
const FEW_ROWS = 100;

export function isCollision(error: unknown): boolean {
  return error instanceof Failure && COLLISIONS.has(error.facts['sqlstate']);
}

/**
 * Makes a run's changes in the open transaction. Each statement must touch exactly as many rows as it has changes:
 * otherwise target and changes do not fit, which is `target.row_count`, and nothing of the transaction may stay.
 * `mayFail`: the session goes on after a collision, as it does not after a failed COPY.
 */
export async function applyRun(
  connection: Connection,
  run: Run,
  how: { readonly encoding: string; readonly mayFail: boolean },
): Promise<void> {
  const [first] = run.changes;
  if (first === undefined) return;
  if (first.kind === 'insert') {
    const isStatement = (how.mayFail || run.changes.length <= FEW_ROWS) && run.table.columns.length > 0;
    return isStatement ? await applyStatement(connection, run) : await copy(connection, run, how.encoding);
  }
  const setsIdentity = first.sets.filter((column) => run.table.columns[column]?.isIdentityAlways === true);
  await setGenerated(connection, run.table, { columns: setsIdentity, mode: 'BY DEFAULT' });
  const mayCollide = first.sets.some((column) => run.table.columns[column]?.isUnique === true);
  if (mayCollide && run.changes.length > 1) await updateUnique(connection, run);
  else await applyStatement(connection, run);
  await setGenerated(connection, run.table, { columns: setsIdentity, mode: 'ALWAYS' });
}

async function copy(connection: Connection, run: Run, encoding: string): Promise<void> {
  const rows = run.changes.flatMap((change): Tuple[] => (change.row === undefined ? [] : [change.row]));
  const copied = await connection.copyIn(copyStatement(run.table, encoding), copyText(rows));
  if (copied !== BigInt(rows.length)) throw wrongRows(run, Number(copied));
}

/**
 * The source made these updates one after the other; at once, two rows that trade places collide. Then they are
 * made one after the other here too (REPLICATION I 47).
 */
async function updateUnique(connection: Connection, run: Run): Promise<void> {
  await connection.execute('SAVEPOINT run');
  try {
    await applyStatement(connection, run);
    await connection.execute('RELEASE SAVEPOINT run');
  } catch (error) {
    if (!isCollision(error)) throw error;
    await connection.execute('ROLLBACK TO SAVEPOINT run; RELEASE SAVEPOINT run');
    for (const change of run.changes) await applyStatement(connection, { ...run, changes: [change] });
  }
}

async function applyStatement(connection: Connection, run: Run): Promise<void> {
  const { text, values } = statementOf(run);
  const touched = await connection.change(text, values);
  if (touched !== run.changes.length) throw wrongRows(run, touched);
}

/** An UPDATE sets a GENERATED ALWAYS identity only while it is none. Within the transaction: a kill undoes it. */
async function setGenerated(
  connection: Connection,
  table: TargetTable,
  how: { readonly columns: readonly number[]; readonly mode: 'ALWAYS' | 'BY DEFAULT' },
): Promise<void> {
  for (const column of how.columns) {
    const name = table.columns[column]?.quoted ?? '';
    await connection.execute(`ALTER TABLE ${table.quoted} ALTER COLUMN ${name} SET GENERATED ${how.mode}`);
  }
}

function wrongRows({ table, changes }: Run, touched: number): Failure {
  const name = displayRelation(table.relation);
  const kind = changes[0]?.kind ?? 'change';
  return new Failure(
    'target.row_count',
    `${name}: ${kind} of ${changes.length} rows touched ${touched} on the target`,
    {
      facts: { table: name, kind, wanted: changes.length, touched },
      remedy:
        'the target is not what the changes were made on: restore again into an empty database, and report this',
    },
  );
}
