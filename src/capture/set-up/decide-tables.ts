import type { RelationName } from '../../model/identifiers.ts';
import type { CaptureTable } from '../../postgres/capture-probe.ts';

/** A table, and why not all of its changes are captured. */
export interface Limited extends RelationName {
  readonly reason: string;
}

interface Membership {
  readonly table: CaptureTable;
  readonly rows: boolean;
  readonly changes: boolean;
}

export interface TableDecisions {
  /** Where each table belongs; `rows` is false where FOR ALL TABLES covers it. */
  readonly members: readonly Membership[];
  /** Count of tables of which every change is captured. */
  readonly whole: number;
  /** Inserts and truncates alone. */
  readonly insertOnly: readonly Limited[];
  readonly notCaptured: readonly Limited[];
}

export interface Rights {
  /** `_rows` is, or will be, FOR ALL TABLES. */
  readonly allTables: boolean;
  readonly tablesOfOthers: boolean;
  /** Whether the publications are this role's to change, or will be. */
  readonly changeRows: boolean;
  readonly changeChanges: boolean;
}

const IDENTITY: Readonly<Record<NonNullable<CaptureTable['identityProblem']>, string>> = {
  no_key: 'no primary key',
  nothing: 'REPLICA IDENTITY NOTHING',
  index_gone: 'the index of its REPLICA IDENTITY is gone',
  deferrable: 'its key is DEFERRABLE',
  generated: 'its key holds a generated column',
  full_generated: 'REPLICA IDENTITY FULL with generated columns',
};

/**
 * Which tables are published, for what, and what is not. Updates only of plain tables and leaves that have an
 * identity, each by its own name: a partitioned table would publish whatever becomes its partition (P7).
 */
export function decideTables(tables: readonly CaptureTable[], rights: Rights): TableDecisions {
  const members: Membership[] = [];
  const insertOnly: Limited[] = [];
  const notCaptured: Limited[] = [];
  let whole = 0;
  for (const table of tables) {
    const mayAdd = table.owned || rights.tablesOfOthers;
    const eligible = table.kind !== 'f' && table.persistence === 'p';
    // What somebody with more rights has added stays, as long as it does no harm.
    const inserts = eligible && (rights.allTables || table.inRows || (rights.changeRows && mayAdd));
    const rows = inserts && !rights.allTables;
    const changes =
      eligible &&
      table.kind === 'r' &&
      table.identityProblem === null &&
      (table.inChanges || (rights.changeChanges && mayAdd));
    members.push({ table, rows, changes });
    if (table.kind === 'p') continue;
    const { schema, name } = table;
    if (changes) whole += 1;
    else if (!eligible)
      notCaptured.push({ schema, name, reason: table.kind === 'f' ? 'foreign table' : 'unlogged' });
    else if (inserts) insertOnly.push({ schema, name, reason: whyInsertOnly(table) });
    else notCaptured.push({ schema, name, reason: `belongs to ${table.owner}` });
  }
  return { members, whole, insertOnly, notCaptured };
}

function whyInsertOnly(table: CaptureTable): string {
  return table.identityProblem === null
    ? `belongs to ${table.owner}, so that updates can’t be published`
    : IDENTITY[table.identityProblem];
}
