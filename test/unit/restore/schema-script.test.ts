import fc from 'fast-check';
import { expect, test } from 'vitest';
import { entriesForTables, sections } from '../../../src/restore/select-entries.ts';
import { parseList, parseScript } from '../../../src/restore/schema-script.ts';
import type { SchemaEntry } from '../../../src/restore/schema-script.ts';

const LIST = `;
; Archive created at 2026-11-24
;
10; 1259 100 TABLE public a postgres
11; 1255 200 FUNCTION public f() postgres
12; 2606 300 CONSTRAINT public a a_pkey postgres
`;
const header = (id: number, catalog: number, oid: number, rest: string, deps = ''): string =>
  `--\n-- TOC entry ${id} (class ${catalog} OID ${oid})\n${deps === '' ? '' : `-- Dependencies: ${deps}\n`}-- Name: ${rest}; Owner: postgres\n-- Data Pos: 0\n--\n\n`;
const SCRIPT = [
  '--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\nSET statement_timeout = 0;\n\nSET default_table_access_method = heap;\n\n',
  header(10, 1259, 100, 'a; Type: TABLE; Schema: public'),
  'CREATE TABLE public.a (id int);\n\n\n',
  header(11, 1255, 200, 'f(); Type: FUNCTION; Schema: public', '10'),
  `CREATE FUNCTION f() AS $$\n${header(99, 1259, 1, 'fake; Type: TABLE; Schema: x')}${header(10, 1259, 100, 'a; Type: TABLE; Schema: x')}$$;\n\n\nSET default_table_access_method = columnar;\n\n`,
  header(12, 2606, 300, 'a a_pkey; Type: CONSTRAINT; Schema: public', '10 10'),
  'ALTER TABLE ONLY public.a ADD PRIMARY KEY (id);\n\n\n-- Completed on 2026-11-24\n\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n',
].join('');

test('entries are parted where the list says, not where a function’s body looks like one', () => {
  const entries = parseScript(SCRIPT, parseList(LIST));
  expect(entries.map((entry) => entry.dumpId)).toEqual([10, 11, 12]);
  expect(entries[0]?.sql).toBe('CREATE TABLE public.a (id int);');
  expect(entries[0]?.tableAccessMethod).toBe('heap');
  expect(entries[1]?.sql).toContain('-- TOC entry 99');
  expect(entries[1]?.sql.endsWith('$$;')).toBe(true);
  expect(entries[2]).toMatchObject({
    tableAccessMethod: 'columnar',
    type: 'CONSTRAINT',
    dependencies: [10, 10],
    sql: 'ALTER TABLE ONLY public.a ADD PRIMARY KEY (id);',
  });
});

test('grants are printed after all that they stand beside in the list, event triggers after those', () => {
  const list = [
    '10; 1259 100 TABLE public a postgres',
    '13; 0 0 ACL public TABLE a postgres',
    '14; 3466 400 EVENT TRIGGER - e postgres',
    '11; 1255 200 FUNCTION public f() postgres',
  ].join('\n');
  const script = [
    header(10, 1259, 100, 'a; Type: TABLE; Schema: public'),
    'CREATE TABLE public.a (id int);\n\n',
    header(11, 1255, 200, 'f(); Type: FUNCTION; Schema: public'),
    'CREATE FUNCTION f() …;\n\n',
    header(13, 0, 0, 'TABLE a; Type: ACL; Schema: public', '10'),
    'GRANT SELECT ON TABLE public.a TO reader;\n\n',
    header(14, 3466, 400, 'e; Type: EVENT TRIGGER; Schema: -'),
    'CREATE EVENT TRIGGER e …;\n\n',
  ].join('');
  const entries = parseScript(script, parseList(list));
  expect(entries.map((entry) => [entry.dumpId, entry.sql])).toEqual([
    [10, 'CREATE TABLE public.a (id int);'],
    [11, 'CREATE FUNCTION f() …;'],
    [13, 'GRANT SELECT ON TABLE public.a TO reader;'],
    [14, 'CREATE EVENT TRIGGER e …;'],
  ]);
});

test('a script with none of the listed entries is refused', () => {
  expect(() => parseScript('SELECT 1;', parseList(LIST))).toThrow(/none of the entries/);
  expect(parseScript('SELECT 1;', [])).toEqual([]);
});

const entry = (dumpId: number, type: string, dependencies: number[], oid = dumpId): SchemaEntry => ({
  dumpId,
  type,
  dependencies,
  oid: String(oid),
  catalogOid: '1259',
  name: `${type} ${dumpId}`,
  schema: 's',
  owner: 'o',
  sql: 'x',
  tableAccessMethod: undefined,
});

test('some tables bring their parts and what those need, and leave out what ties them to others', () => {
  const all = [
    entry(1, 'SCHEMA', []),
    entry(2, 'TYPE', [1]),
    entry(3, 'TABLE', [1, 2]),
    entry(4, 'TABLE', [1]),
    entry(5, 'SEQUENCE', [1, 3]),
    entry(6, 'SEQUENCE OWNED BY', [5]),
    entry(7, 'DEFAULT', [3, 5]),
    entry(8, 'INDEX', [3]),
    entry(9, 'FK CONSTRAINT', [3, 4]),
    entry(10, 'FUNCTION', [1]),
    entry(11, 'TRIGGER', [3, 10]),
    entry(12, 'VIEW', [3]),
    entry(13, 'SEQUENCE', [1, 4]),
    entry(14, 'ACL', [1]),
  ];
  const { entries, leftOut } = entriesForTables(all, new Set(['3']));
  expect(entries.map((one) => one.dumpId)).toEqual([1, 2, 3, 5, 6, 7, 8, 10, 11, 14]);
  expect(leftOut.map((one) => one.dumpId)).toEqual([9]);
});

test('what speaks of a thing after the data comes after the data too', () => {
  const all = [
    entry(1, 'TABLE', []),
    entry(2, 'INDEX', [1]),
    entry(3, 'COMMENT', [2]),
    entry(4, 'COMMENT', [1]),
  ];
  expect([...sections(all).values()]).toEqual(['pre-data', 'post-data', 'post-data', 'pre-data']);
});

test('a selection is closed: nothing in it depends on a table outside', () => {
  const graph = fc.array(
    fc.record({
      type: fc.constantFrom('TABLE', 'TYPE', 'INDEX', 'FK CONSTRAINT', 'SEQUENCE', 'TRIGGER', 'FUNCTION'),
      deps: fc.array(fc.nat(30), { maxLength: 3 }),
    }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(graph, fc.array(fc.nat(30)), (nodes, picked) => {
      const all = nodes.map((node, index) =>
        entry(
          index + 1,
          node.type,
          node.deps.map((dep) => dep % (index + 1) || 0).filter((dep) => dep > 0),
        ),
      );
      const { entries } = entriesForTables(all, new Set(picked.map(String)));
      const ids = new Set(entries.map((one) => one.dumpId));
      for (const one of entries) for (const need of one.dependencies) expect(ids.has(need)).toBe(true);
    }),
  );
});
