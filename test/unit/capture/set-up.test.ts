import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decideTables } from '../../../src/capture/set-up/decide-tables.ts';
import { planSetUp } from '../../../src/capture/set-up/plan.ts';
import { blockers } from '../../../src/capture/set-up/preconditions.ts';
import { planForDba, renderSql } from '../../../src/capture/set-up/print-set-up.ts';
import { planRemoval } from '../../../src/capture/set-up/remove-source.ts';
import type { SourceState } from '../../../src/capture/set-up/state.ts';
import { captureFindings } from '../../../src/doctor/check-capture.ts';
import { captureNames } from '../../../src/model/capture-names.ts';
import type { Abilities, CaptureServer, CaptureTable } from '../../../src/postgres/capture-probe.ts';
import type { Publication } from '../../../src/postgres/publications.ts';
import type { Slot } from '../../../src/postgres/slot.ts';
import { sourceSql } from '../../../src/postgres/source-sql.ts';

const NAMES = captureNames('main', 'abcdef0123456789');
const ALL: Abilities = {
  publication: true,
  allTables: true,
  eventTrigger: true,
  tablesOfOthers: true,
  slot: 'yes',
};
const PLAIN: Abilities = { ...ALL, allTables: false, eventTrigger: false, tablesOfOthers: false };
const SERVER: CaptureServer = {
  walLevel: 'logical',
  slotsMax: 10,
  slotsUsed: 0,
  keepMegabytes: '4096',
  role: 'app',
  createOnDatabase: true,
  provider: 'plain',
  schema: false,
  schemaOwner: null,
  schemaOwned: false,
  schemaOfSuperuser: false,
  code: null,
  eventTriggers: [],
  otherPublications: [],
  slots: [],
};
const TABLE: CaptureTable = {
  schema: 'public',
  name: 't',
  kind: 'r',
  persistence: 'p',
  isPartition: false,
  owner: 'app',
  owned: true,
  identityProblem: null,
  inRows: false,
  inChanges: false,
  rowsFiltered: false,
  changesFiltered: false,
  oid: '16384',
  members: '/',
  columns: '',
  storage: '',
  bornWithKey: true,
};
const publication = (
  name: string,
  publish: readonly string[],
  more: Partial<Publication> = {},
): Publication => ({
  name,
  allTables: false,
  insert: publish.includes('insert'),
  update: publish.includes('update'),
  delete: publish.includes('delete'),
  truncate: publish.includes('truncate'),
  viaRoot: false,
  filtered: false,
  owner: 'app',
  owned: true,
  shape: '',
  definition: '',
  ...more,
});
const ROWS = publication(NAMES.rows, ['insert', 'truncate']);
const CHANGES = publication(NAMES.changes, ['update', 'delete']);
const SLOT: Slot = {
  name: NAMES.slot,
  plugin: 'pgoutput',
  type: 'logical',
  database: 'shop',
  temporary: false,
  activePid: null,
  activeApplication: null,
  activeUser: null,
  restartLsn: '0/1',
  confirmedFlushLsn: '0/1',
  walStatus: 'reserved',
  safeWalSize: null,
  invalidationReason: null,
  failover: false,
};
function state(more: Partial<SourceState> = {}): SourceState {
  const facts = { versionNumber: 170_000, versionText: '17.0', inRecovery: false, databaseName: 'shop' };
  return {
    facts: facts as SourceState['facts'],
    server: SERVER,
    abilities: ALL,
    tables: [TABLE],
    publications: [],
    slot: undefined,
    ...more,
  };
}
const kinds = (from: SourceState): string[] => planSetUp(from, NAMES).steps.map((step) => step.kind);

const anyTable: fc.Arbitrary<CaptureTable> = fc.record({
  schema: fc.constantFrom('public', 'odd "one'),
  name: fc.string({ minLength: 1, maxLength: 8 }).filter((name) => !name.includes('\0')),
  kind: fc.constantFrom('r', 'p', 'f'),
  persistence: fc.constantFrom('p', 'u'),
  isPartition: fc.boolean(),
  owner: fc.constant('somebody'),
  owned: fc.boolean(),
  identityProblem: fc.constantFrom(
    null,
    'no_key',
    'nothing',
    'index_gone',
    'deferrable',
    'generated',
    'full_generated',
  ),
  inRows: fc.boolean(),
  inChanges: fc.boolean(),
  rowsFiltered: fc.boolean(),
  changesFiltered: fc.boolean(),
  oid: fc.constant('16384'),
  members: fc.constant('/'),
  columns: fc.constant(''),
  storage: fc.constant(''),
  bornWithKey: fc.constant(true),
});
const anyRights = fc.record({
  allTables: fc.boolean(),
  tablesOfOthers: fc.boolean(),
  changeRows: fc.boolean(),
  changeChanges: fc.boolean(),
});

test('P7: updates are published of plain tables that have an identity alone, whatever the rights', () => {
  fc.assert(
    fc.property(fc.array(anyTable), anyRights, (tables, rights) => {
      const decided = decideTables(tables, rights);
      for (const { table, changes } of decided.members)
        if (changes) expect([table.kind, table.persistence, table.identityProblem]).toEqual(['r', 'p', null]);
    }),
  );
});

test('every table but a partitioned one is told once: whole, insert-only or not captured', () => {
  fc.assert(
    fc.property(fc.array(anyTable), anyRights, (tables, rights) => {
      const { whole, insertOnly, notCaptured } = decideTables(tables, rights);
      expect(whole + insertOnly.length + notCaptured.length).toBe(
        tables.filter(({ kind }) => kind !== 'p').length,
      );
    }),
  );
});

test('what a plan does leaves nothing for the next one', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(anyTable, { selector: ({ schema, name }) => `${schema}\n${name}` }),
      fc.constantFrom(ALL, PLAIN),
      (tables, abilities) => {
        // What a table can't be in: FOR ALL TABLES has no list, and Postgres refuses other kinds.
        const start = tables.map((table) => ({
          ...table,
          inRows: table.inRows && !abilities.allTables && table.kind !== 'f' && table.persistence === 'p',
          inChanges: table.inChanges && table.kind !== 'f' && table.persistence === 'p',
        }));
        const before = state({
          abilities,
          tables: start,
          publications: [{ ...ROWS, allTables: abilities.allTables }, CHANGES],
        });
        const done = new Set(planSetUp(before, NAMES).steps.map((step) => step.sql));
        const after = start.map((table) => {
          const was = (of: string, is: boolean): boolean => {
            const variables = { publication: of, schema: table.schema, table: table.name };
            if (done.has(sourceSql('publication-add', variables))) return true;
            return is && !done.has(sourceSql('publication-drop', variables));
          };
          return {
            ...table,
            inRows: was(NAMES.rows, table.inRows),
            inChanges: was(NAMES.changes, table.inChanges),
            rowsFiltered: false,
            changesFiltered: false,
          };
        });
        const steps = planSetUp({ ...before, tables: after, slot: SLOT }, NAMES).steps;
        expect(steps.filter((step) => step.kind === 'table')).toEqual([]);
      },
    ),
  );
});

test('the least that works: who may do all gets triggers, who may not gets lists', () => {
  const titles = (abilities: Abilities): string =>
    planSetUp(state({ abilities }), NAMES)
      .steps.map((step) => step.title)
      .join('\n');
  expect(titles(ALL)).toMatch(
    /secret[^]*all tables[^]*event trigger[^]*added to tidemark_main_changes\nslot/,
  );
  expect(titles(PLAIN)).not.toMatch(/secret|functions|all tables|event trigger/);
  expect(titles(PLAIN)).toMatch(/added to tidemark_main_rows\n.*added to tidemark_main_changes\nslot/);
});

test('publications come before the slot (C1.4), and a slot without them is dropped first', () => {
  expect(kinds(state()).at(-1)).toBe('slot');
  const orphan = state({ slot: SLOT, publications: [ROWS] });
  expect(kinds(orphan)[0]).toBe('slot-drop');
  expect(kinds(orphan).at(-1)).toBe('slot');
  expect(planSetUp(orphan, NAMES).warnings.join()).toMatch(/gap/);
  expect(kinds(state({ slot: { ...SLOT, walStatus: 'lost' }, publications: [ROWS, CHANGES] }))).toContain(
    'slot-drop',
  );
  expect(kinds(state({ slot: SLOT, publications: [ROWS, CHANGES] }))).not.toContain('slot');
});

test('a failover slot from 17 on', () => {
  const sql = (versionNumber: number): string => {
    const from = state();
    return planSetUp({ ...from, facts: { ...from.facts, versionNumber } }, NAMES).steps.at(-1)?.sql ?? '';
  };
  expect(sql(170_000)).toMatch(/failover => true/);
  expect(sql(160_009)).not.toMatch(/failover/);
});

test('what another role’s publications need is said, not tried', () => {
  const theirs = state({
    abilities: PLAIN,
    slot: SLOT,
    publications: [ROWS, CHANGES].map((found) => ({ ...found, owned: false, viaRoot: true })),
    tables: [{ ...TABLE, inRows: true, inChanges: true, identityProblem: 'no_key' }],
    server: { ...SERVER, schema: true, schemaOfSuperuser: true },
  });
  const plan = planSetUp(theirs, NAMES);
  expect(plan.steps).toEqual([]);
  expect(plan.warnings.join()).toMatch(
    /belong to another role.*public\.t taken out of tidemark_main_changes/,
  );
  expect(planForDba(theirs, NAMES).steps.map((step) => step.title)).toContain(
    'public.t taken out of tidemark_main_changes',
  );
});

test('what stands in the way, each under its code', () => {
  const codes = (more: Partial<SourceState>): string[] =>
    blockers(state(more), NAMES).map(({ code }) => code);
  const facts = state().facts;
  expect(codes({})).toEqual([]);
  expect(codes({ facts: { ...facts, inRecovery: true } })).toEqual(['source.standby']);
  expect(codes({ server: { ...SERVER, walLevel: 'replica' } })).toEqual(['source.wal_level']);
  expect(codes({ abilities: { ...ALL, slot: 'denied' } })).toEqual(['source.no_replication']);
  expect(codes({ abilities: { ...ALL, slot: 'none_free' } })).toEqual(['source.no_slot']);
  expect(
    codes({ abilities: { ...ALL, slot: 'none_free' }, slot: SLOT, publications: [ROWS, CHANGES] }),
  ).toEqual([]);
  expect(codes({ abilities: { ...PLAIN, publication: false } })).toEqual([
    'source.permission',
    'source.permission',
  ]);
  expect(codes({ abilities: PLAIN, tables: [{ ...TABLE, owned: false }] })).toEqual(['source.permission']);
  expect(codes({ server: { ...SERVER, schema: true, schemaOwner: 'x' } })).toEqual(['source.permission']);
  expect(codes({ slot: { ...SLOT, database: 'other' } })).toEqual(['source.slot_in_use']);
  expect(codes({ slot: { ...SLOT, activePid: 7 } })).toEqual(['source.slot_in_use']);
});

test('doctor: for information where capture was never set up, an error where it was', () => {
  const level = (more: Partial<SourceState>): string[] =>
    captureFindings(state(more), NAMES).map((f) => f.level);
  expect(level({})).toEqual(['info']);
  expect(level({ server: { ...SERVER, walLevel: 'replica' } })).toEqual(['info']);
  expect(
    level({ server: { ...SERVER, walLevel: 'replica' }, slot: SLOT, publications: [ROWS, CHANGES] }),
  ).toContain('error');
});

test('removal keeps what another repository or source needs', () => {
  const found = {
    server: { ...SERVER, schema: true, eventTriggers: ['tidemark_ddl'], slots: [NAMES.slot] },
    publications: [NAMES.rows, NAMES.changes],
    slot: SLOT,
  };
  const titles = (server: Partial<CaptureServer>): string[] =>
    planRemoval({ ...found, server: { ...found.server, ...server } }, NAMES).steps.map((step) => step.title);
  expect(titles({})).toEqual([
    `slot ${NAMES.slot}`,
    'event triggers',
    `publication ${NAMES.rows}`,
    `publication ${NAMES.changes}`,
    'schema tidemark',
  ]);
  expect(titles({ slots: [NAMES.slot, captureNames('main', 'zzzzzz').slot] })).toEqual([
    `slot ${NAMES.slot}`,
  ]);
  expect(titles({ otherPublications: ['tidemark_other_rows'] })).toEqual([
    `slot ${NAMES.slot}`,
    `publication ${NAMES.rows}`,
    `publication ${NAMES.changes}`,
  ]);
});

test('names fit Postgres and keep sources apart', () => {
  const source = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,30}$/);
  const repository = fc.stringMatching(/^[0-9a-z]{26}$/);
  fc.assert(
    fc.property(source, source, repository, (one, other, id) => {
      const names = captureNames(one, id);
      for (const name of Object.values(names)) expect(name).toMatch(/^[a-z0-9_]{1,63}$/);
      if (one !== other) expect(captureNames(other, id).slot).not.toBe(names.slot);
    }),
  );
});

test('a printed script is one transaction for what belongs together, and quotes what it names', () => {
  const odd = state({ tables: [{ ...TABLE, name: `a";DROP TABLE b;--'` }] });
  const { steps } = planForDba(odd, NAMES);
  const sql = renderSql(steps, 'app');
  expect(sql).toContain(`ADD TABLE ONLY "public"."a"";DROP TABLE b;--'";`);
  expect(sql.match(/^BEGIN;$/gm)).toHaveLength(1);
  expect(sql.indexOf('COMMIT;')).toBeLessThan(sql.indexOf('ADD TABLE ONLY'));
  expect(() => sourceSql('slot', {})).toThrow(/wants slot/);
});
