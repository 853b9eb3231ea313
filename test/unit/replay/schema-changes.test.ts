import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseSchemaMessage } from '../../../src/archive/schema-message.ts';
import type {
  ColumnDescription,
  RelationDescription,
  TypeDescription,
} from '../../../src/archive/schema-message.ts';
import { planCreation } from '../../../src/replay/schema-changes/plan-creation.ts';
import { planDrop } from '../../../src/replay/schema-changes/plan-drop.ts';
import { planInference } from '../../../src/replay/schema-changes/plan-inference.ts';
import { planRelation } from '../../../src/replay/schema-changes/plan-relation.ts';
import { planType } from '../../../src/replay/schema-changes/plan-type.ts';

const column = (name: string, more: Partial<ColumnDescription> = {}): ColumnDescription => ({
  number: 1,
  name,
  type: 'integer',
  notNull: false,
  ...more,
});

const table = (more: Partial<RelationDescription> = {}): RelationDescription => ({
  oid: '5',
  schema: 's',
  name: 't',
  kind: 'r',
  persistence: 'p',
  owner: 'o',
  replicaIdentity: 'd',
  rowSecurity: false,
  forceRowSecurity: false,
  columns: [column('id')],
  ...more,
});

const told = { renamed: false, owners: (): boolean => true };
const T = 'ALTER TABLE "s"."t"';

test('old rows get what the source’s got from a default, not what it would give now', () => {
  const since = column('since', { type: 'date', default: 'now()', missing: "2026-01-01'", notNull: true });
  const plan = planRelation(table({ columns: [column('id'), since] }), table(), told);
  expect(plan.statements).toEqual([
    `${T} ADD COLUMN "since" date DEFAULT '2026-01-01'''::date NOT NULL`,
    `${T} ALTER COLUMN "since" SET DEFAULT now()`,
  ]);
});

test('a default that was set apart gives old rows nothing', () => {
  const plan = planRelation(table({ columns: [column('id'), column('n', { default: '1' })] }), table(), told);
  expect(plan.statements).toEqual([`${T} ADD COLUMN "n" integer`, `${T} ALTER COLUMN "n" SET DEFAULT 1`]);
});

test('a column is another one’s new name only when the command says so', () => {
  const [wanted, there] = [table({ columns: [column('b')] }), table({ columns: [column('a')] })];
  expect(planRelation(wanted, there, { ...told, renamed: true }).statements).toEqual([
    `${T} RENAME COLUMN "a" TO "b"`,
  ]);
  expect(planRelation(wanted, there, told)).toMatchObject({ problems: [expect.stringContaining('a')] });
});

test('I 29: a description that is there already asks for nothing, whatever it is', () => {
  const text = fc.string({ minLength: 1, maxLength: 5 });
  const any = fc.record({
    columns: fc.uniqueArray(
      fc.record({ name: text, default: fc.option(text, { nil: undefined }), notNull: fc.boolean() }),
      { selector: ({ name }) => name },
    ),
    indexes: fc.uniqueArray(text),
    comment: fc.option(text, { nil: undefined }),
    options: fc.array(
      text.map((value) => `fillfactor=${value}`),
      { maxLength: 1 },
    ),
  });
  fc.assert(
    fc.property(any, ({ columns, indexes, comment, options }) => {
      const one = table({
        columns: columns.map(({ name, ...more }) => column(name, more)),
        indexes: indexes.map((name) => ({
          name,
          definition: `CREATE INDEX ${name} ON s.t USING btree (id)`,
          primary: false,
          replicaIdentity: false,
          valid: true,
        })),
        comment,
        options,
      });
      expect(planRelation(one, structuredClone(one), told)).toEqual({ statements: [], problems: [] });
    }),
  );
});

test('an index and a constraint under another name are renamed, others are dropped and made', () => {
  const index = (name: string, on: string): NonNullable<RelationDescription['indexes']>[number] => ({
    name,
    definition: `CREATE INDEX ${name} ON s.t USING btree (${on})`,
    primary: false,
    replicaIdentity: false,
    valid: true,
  });
  const check = (
    name: string,
    definition: string,
  ): NonNullable<RelationDescription['constraints']>[number] => ({
    name,
    definition,
    type: 'c',
  });
  const plan = planRelation(
    table({ indexes: [index('b', 'x'), index('new', 'z')], constraints: [check('d', 'CHECK (1)')] }),
    table({ indexes: [index('a', 'x'), index('old', 'y')], constraints: [check('c', 'CHECK (1)')] }),
    told,
  );
  expect(plan.statements).toEqual([
    `${T} RENAME CONSTRAINT "c" TO "d"`,
    'DROP INDEX "s"."old"',
    'ALTER INDEX "s"."a" RENAME TO "b"',
    'CREATE INDEX new ON s.t USING btree (z)',
  ]);
});

test('an index of a partitioned table is one of its partitions', () => {
  const index = {
    name: 'i',
    primary: false,
    replicaIdentity: false,
    definition: 'CREATE INDEX i ON ONLY s.t USING btree (id)',
  };
  const plan = (valid: boolean): unknown =>
    planRelation(table({ kind: 'p', indexes: [{ ...index, valid }] }), table({ kind: 'p' }), told).statements;
  expect(plan(true)).toEqual(['CREATE INDEX i ON s.t USING btree (id)']);
  expect(plan(false)).toEqual([index.definition]);
});

test('a table is made with what its columns are; its partition bound is its parent’s business', () => {
  const columns = [
    column('id', { identity: 'a', notNull: true }),
    column('twice', { generated: 's', default: 'id * 2' }),
    column('x', { notLocal: true }),
  ];
  expect(planCreation(table({ columns, parents: ['s.p'] })).statements).toEqual([
    'CREATE TABLE "s"."t" ("id" integer GENERATED ALWAYS AS IDENTITY NOT NULL, "twice" integer GENERATED ALWAYS AS (id * 2) STORED) INHERITS (s.p)',
  ]);
  const bound = { parents: ['s.p'], partitionBound: 'FOR VALUES IN (1)' };
  expect(planCreation(table(bound)).statements).toEqual([
    'CREATE TABLE "s"."t" PARTITION OF s.p FOR VALUES IN (1)',
  ]);
  expect(planCreation(table({ kind: 'f' }))).toMatchObject({
    statements: [],
    problems: [expect.any(String)],
  });
});

test('labels of an enum come in their places; none goes', () => {
  const type = (...labels: string[]): TypeDescription => ({
    oid: '1',
    schema: 's',
    name: 'e',
    kind: 'e',
    owner: 'o',
    labels,
  });
  const plan = (wanted: TypeDescription, there: TypeDescription): unknown => planType(wanted, there, told);
  expect(plan(type('a', 'x', 'b'), type('a', 'b'))).toMatchObject({
    statements: [`ALTER TYPE "s"."e" ADD VALUE 'x' AFTER 'a'`],
  });
  expect(plan(type('x', 'a'), type('a'))).toMatchObject({
    statements: [`ALTER TYPE "s"."e" ADD VALUE 'x' BEFORE 'a'`],
  });
  expect(plan(type('a', 'c'), type('a', 'b'))).toMatchObject({
    statements: [`ALTER TYPE "s"."e" RENAME VALUE 'b' TO 'c'`],
  });
  expect(plan(type('a', 'c', 'd'), type('a', 'b'))).toMatchObject({ problems: ['labels are gone'] });
});

test('what was named is dropped, and with it what went with it; parts of a parent’s are the parent’s', () => {
  const names = ['s', 't', 'c'];
  const dropped = { original: true, identity: 's.t.c', type: 'table column', names };
  const facts = { tag: 'ALTER TABLE', isInherited: () => false };
  expect(planDrop([dropped], facts).statements).toEqual([
    'ALTER TABLE IF EXISTS "s"."t" DROP COLUMN IF EXISTS "c"',
  ]);
  expect(planDrop([dropped], { ...facts, isInherited: () => true }).statements).toEqual([]);
  const view = { original: false, identity: 's.v', type: 'view' };
  const drop = { original: true, identity: 's.t', type: 'table' };
  expect(planDrop([drop, view], { ...facts, tag: 'DROP TABLE' }).statements).toEqual([
    'DROP TABLE IF EXISTS s.t CASCADE',
  ]);
  const operator = { original: true, identity: 's.+', type: 'operator' };
  expect(planDrop([operator], facts)).toMatchObject({ problems: [expect.stringContaining('operator')] });
});

test('I 28: a Relation message proves a new table or column, not which of two is which', () => {
  const relation = (...names: string[]): Parameters<typeof planInference>[0] => ({
    kind: 'relation',
    oid: 5,
    schema: 's',
    name: 't',
    identity: 'default',
    columns: names.map((name) => ({ name, isKey: name === 'id', typeOid: 23, typeModifier: -1 })),
  });
  const types = ['integer', 'text'];
  expect(planInference(relation('id', 'v'), undefined, types).statements).toEqual([
    'CREATE TABLE "s"."t" ("id" integer, "v" text)',
    `${T} ADD PRIMARY KEY ("id")`,
  ]);
  const keyed = table({
    indexes: [{ name: 'k', definition: '', primary: true, replicaIdentity: false, valid: true }],
  });
  expect(planInference(relation('id', 'v'), keyed, types).statements).toEqual([`${T} ADD COLUMN "v" text`]);
  const other = { ...keyed, columns: [column('id'), column('w')] };
  expect(planInference(relation('id', 'v'), other, types)).toMatchObject({
    statements: [],
    problems: [expect.stringContaining('renamed or made anew')],
  });
});

test('a message of functions that recorded too little is none', () => {
  const message = (body: object): Buffer => Buffer.from(`${'0'.repeat(64)}\n${JSON.stringify(body)}`);
  const facts = { kind: 'drop', tag: 'DROP TABLE', xid: '1', objects: [] };
  expect(parseSchemaMessage(message({ ...facts, version: 1 }))).toBe(undefined);
  expect(parseSchemaMessage(message({ ...facts, version: 2 }))).toEqual(facts);
  expect(() => parseSchemaMessage(message({ version: 2, kind: 'ddl' }))).toThrow(/tag/);
});
