import type { CaptureNames } from '../../model/capture-names.ts';
import { displayRelation } from '../../model/identifiers.ts';
import type { CaptureTable } from '../../postgres/capture-probe.ts';
import type { Publication } from '../../postgres/publications.ts';
import { sourceSql } from '../../postgres/source-sql.ts';
import { decideTables } from './decide-tables.ts';
import type { Rights, TableDecisions } from './decide-tables.ts';
import type { SourceState } from './state.ts';
import type { Step } from './step.ts';

export interface PublicationPlan {
  readonly steps: readonly Step[];
  readonly tables: TableDecisions;
  /** How many of the two are not there. */
  readonly missing: number;
  readonly warnings: readonly string[];
}

const ROWS = 'insert, truncate';
const CHANGES = 'update, delete';

/**
 * What brings both publications in line with the tables: at set-up, and whenever capture looks again. What this role
 * has no right to change is said, not tried. Pure.
 */
export function planPublications(state: SourceState, names: CaptureNames): PublicationPlan {
  const rows = state.publications.find((publication) => publication.name === names.rows);
  const changes = state.publications.find((publication) => publication.name === names.changes);
  const rights = rightsOf(state, rows, changes);
  const tables = decideTables(state.tables, rights);
  const members = tables.members.flatMap((member) => [
    ...membership(member.table, { ...names, wanted: member.rows, of: 'rows' }),
    ...membership(member.table, { ...names, wanted: member.changes, of: 'changes' }),
  ]);
  const reachable = (step: { readonly of: 'rows' | 'changes' }): boolean =>
    step.of === 'rows' ? rights.changeRows : rights.changeChanges;
  const outOfReach = members.filter((step) => !reachable(step));
  return {
    steps: [
      ...publicationSteps(names.rows, rows, { publish: ROWS, all: state.abilities.allTables }),
      ...publicationSteps(names.changes, changes, { publish: CHANGES, all: false }),
      ...members.filter((step) => reachable(step)),
    ],
    tables,
    missing: [rows, changes].filter((publication) => publication === undefined).length,
    warnings: [
      ...(outOfReach.length === 0
        ? []
        : [
            `the publications belong to another role, which has to see to it: ${outOfReach.map((step) => step.title).join('; ')}`,
          ]),
      ...(rows?.allTables === false && state.abilities.allTables
        ? [
            `publication ${rows.name} lists tables one by one, though this role may publish all: init --remove, then init --capture`,
          ]
        : []),
    ],
  };
}

function rightsOf(
  { abilities }: SourceState,
  rows: Publication | undefined,
  changes: Publication | undefined,
): Rights {
  return {
    allTables: rows?.allTables ?? abilities.allTables,
    tablesOfOthers: abilities.tablesOfOthers,
    changeRows: rows?.owned ?? abilities.publication,
    changeChanges: changes?.owned ?? abilities.publication,
  };
}

function publicationSteps(
  name: string,
  found: Publication | undefined,
  wanted: { readonly publish: string; readonly all: boolean },
): Step[] {
  const variables = { publication: name, publish: wanted.publish };
  if (found === undefined) {
    const file = wanted.all ? 'publication-all' : 'publication';
    const of = wanted.all ? ' of all tables' : '';
    return [
      {
        kind: 'object',
        title: `publication ${name}: ${wanted.publish}${of}`,
        sql: sourceSql(file, variables),
      },
    ];
  }
  const actions = {
    insert: found.insert,
    truncate: found.truncate,
    update: found.update,
    delete: found.delete,
  };
  const publishes = Object.entries(actions).filter(([, on]) => on);
  if (!found.owned) return [];
  if (!found.viaRoot && publishes.map(([action]) => action).join(', ') === wanted.publish) return [];
  return [
    {
      kind: 'object',
      title: `options of publication ${name}, which somebody had changed`,
      sql: sourceSql('publication-options', variables),
    },
  ];
}

/** Adds what is missing, and takes out what must not be there; filters and column lists are never ours. */
function membership(
  table: CaptureTable,
  of: {
    readonly rows: string;
    readonly changes: string;
    readonly wanted: boolean;
    readonly of: 'rows' | 'changes';
  },
): (Step & { readonly of: 'rows' | 'changes' })[] {
  const publication = of[of.of];
  const is = of.of === 'rows' ? table.inRows : table.inChanges;
  const filtered = of.of === 'rows' ? table.rowsFiltered : table.changesFiltered;
  const step = (file: 'publication-add' | 'publication-drop') => ({
    kind: 'table' as const,
    of: of.of,
    title: `${displayRelation(table)} ${file === 'publication-add' ? 'added to' : 'taken out of'} ${publication}`,
    sql: sourceSql(file, { publication, schema: table.schema, table: table.name }),
  });
  const remove = is && (!of.wanted || filtered);
  const add = of.wanted && (!is || filtered);
  return [...(remove ? [step('publication-drop')] : []), ...(add ? [step('publication-add')] : [])];
}
