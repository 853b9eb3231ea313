import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Manifest, TableEntry } from '../../../src/archive/manifest.ts';
import { indexMembers } from '../../../src/catalog/member-index.ts';
import type { LocatedMember } from '../../../src/catalog/member-index.ts';
import { byReferences } from '../../../src/restore/in-place.ts';
import { parseGlobals, requiredRoles } from '../../../src/restore/roles.ts';
import { selectDumpIds } from '../../../src/restore/restore-dump.ts';
import { parseList } from '../../../src/restore/schema-script.ts';
import type { SchemaEntry } from '../../../src/restore/schema-script.ts';

const table = (number: number, references: number[] = [], more: Partial<TableEntry> = {}): TableEntry => ({
  number,
  schema: 's',
  name: `t${number}`,
  oid: number,
  kind: 'table',
  persistence: 'permanent',
  columns: ['a'],
  data: 'included',
  rows: '0',
  copyBytes: '0',
  storedBytes: '0',
  ranges: 1,
  partitionOf: [],
  references,
  ...more,
});

test('tables come after those that they reference, whatever the order, unless in a cycle', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.nat(19), { maxLength: 3 }), { minLength: 1, maxLength: 20 }),
      (graph) => {
        const tables = graph.map((to, index) =>
          table(
            index + 1,
            to.filter((target) => target < index).map((target) => target + 1),
          ),
        );
        const order = byReferences([...tables].reverse()).map((one) => one.number);
        expect([...order].sort((a, b) => a - b)).toEqual(tables.map((one) => one.number));
        for (const one of tables)
          for (const target of one.references)
            expect(order.indexOf(target)).toBeLessThan(order.indexOf(one.number));
      },
    ),
  );
  expect(byReferences([table(1, [2]), table(2, [1])])).toHaveLength(2);
});

test('globals: roles, their attributes and memberships; nothing that only a superuser may say', () => {
  const globals = parseGlobals(
    [
      'CREATE ROLE app;',
      'ALTER ROLE app WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS;',
      'CREATE ROLE "read ""only""";',
      'GRANT "app" TO "read ""only""" WITH INHERIT TRUE GRANTED BY "postgres";',
      "ALTER ROLE app SET search_path TO 'x';",
      "COMMENT ON ROLE app IS 'text';",
    ].join('\n'),
  );
  expect(globals.roles).toEqual(['app', 'read "only"']);
  expect(globals.attributes[0]).toEqual({
    role: 'app',
    sql: 'ALTER ROLE app WITH INHERIT NOCREATEROLE NOCREATEDB LOGIN;',
  });
  expect(globals.memberships).toEqual([
    { role: 'app', member: 'read "only"', sql: 'GRANT "app" TO "read ""only""" WITH INHERIT TRUE;' },
  ]);
});

test('roles that entries need: owners, grantees, policies; not PUBLIC', () => {
  const entry = (type: string, sql: string, owner = 'own "er"'): SchemaEntry => ({
    dumpId: 1,
    catalogOid: '0',
    oid: '0',
    dependencies: [],
    name: '',
    type,
    schema: '',
    owner,
    sql,
    tableAccessMethod: undefined,
  });
  const entries = [
    entry('TABLE', 'CREATE TABLE x ();\n\n\nALTER TABLE x OWNER TO "own ""er""";'),
    entry(
      'ACL',
      'GRANT SELECT ON TABLE x TO "a b" WITH GRANT OPTION;\nREVOKE ALL ON TABLE x FROM PUBLIC;\nGRANT SELECT("id") ON TABLE x TO app;',
    ),
    entry(
      'DEFAULT ACL',
      'ALTER DEFAULT PRIVILEGES FOR ROLE "maker" IN SCHEMA "s" GRANT SELECT ON TABLES TO "taker";',
    ),
    entry('POLICY', 'CREATE POLICY "p" ON "s"."x" FOR SELECT TO "one", "two" USING (true);'),
  ];
  expect([...requiredRoles(entries, { owners: true, privileges: true })].sort()).toEqual([
    'a b',
    'app',
    'maker',
    'one',
    'own "er"',
    'taker',
    'two',
  ]);
  expect([...requiredRoles(entries, { owners: false, privileges: false })].sort()).toEqual(['one', 'two']);
});

const member = (range: number, part: number, more: Partial<LocatedMember> = {}): LocatedMember => ({
  name: '',
  offset: 0,
  sizeBytes: 1,
  sha256: '',
  table: 1,
  range,
  part,
  copyBytes: 1,
  archive: 'data-0001.tar',
  ...more,
});
const manifest = { id: 'x', tables: [table(1, [], { ranges: 2, rows: '7' })] } as unknown as Manifest;

test('member lists: every range whole, every row accounted for', () => {
  const whole = [member(0, 1, { rows: '3' }), member(0, 0), member(1, 0, { rows: '4' })];
  expect(
    indexMembers(whole, manifest)
      .get(1)
      ?.map((range) => range.parts.length),
  ).toEqual([2, 1]);
  const broken: [string, LocatedMember[]][] = [
    ['a range is missing', whole.slice(0, 2)],
    ['a part is missing', [whole[0] as LocatedMember, whole[2] as LocatedMember]],
    ['the last part is missing', [whole[1] as LocatedMember, whole[2] as LocatedMember]],
    ['a part too many', [...whole, member(5, 0, { rows: '0' })]],
    [
      'a count that lies',
      [whole[0] as LocatedMember, whole[1] as LocatedMember, member(1, 0, { rows: '5' })],
    ],
    ['a part twice', [...whole, member(0, 1, { rows: '3' })]],
  ];
  for (const [, members] of broken)
    expect(() => indexMembers(members, manifest)).toThrow(
      expect.objectContaining({ code: 'integrity.format' }),
    );
});

test('of a dump, the plan’s definitions are taken and the rows of its tables, in the dump’s own order', () => {
  const list = parseList(
    [
      '; Archive created at …',
      '3; 2615 100 SCHEMA - s owner',
      '4; 1259 1 TABLE s t1 owner',
      '5; 1259 2 TABLE s t2 owner',
      '9; 0 2 TABLE DATA s t2 owner',
      '8; 0 1 TABLE DATA s t1 owner',
      '10; 0 0 SEQUENCE SET s t1_id_seq owner',
      '11; 2606 7 CONSTRAINT s t1 t1_pkey owner',
    ].join('\n'),
  );
  const entry = (dumpId: number): SchemaEntry => ({ dumpId }) as SchemaEntry;
  const plan = { preData: [entry(3), entry(4)], postData: [entry(11)], materializedViews: [] };
  expect(selectDumpIds(list, { ...plan, tables: [table(1)] })).toEqual([3, 4, 8, 11]);
  expect(selectDumpIds(list, { ...plan, tables: [] })).toEqual([3, 4, 11]);
});
