import { expect, test } from 'vitest';
import type { TableEntry } from '../../../src/archive/manifest.ts';
import { dropsInProject, planIntoSupabase } from '../../../src/restore/into-supabase.ts';
import type { ProjectFacts } from '../../../src/restore/into-supabase.ts';
import type { RestorePlan } from '../../../src/restore/plan.ts';
import type { SchemaEntry } from '../../../src/restore/schema-script.ts';

const FACTS: ProjectFacts = {
  supabase: true,
  schemas: ['public', 'auth', 'storage', 'extensions'],
  extensions: ['pgcrypto'],
  eventTriggers: ['pgrst_ddl_watch'],
  publications: ['supabase_realtime'],
  triggers: ['storage.objects touch'],
  triggerFunctions: ['storage.touch'],
  policies: [],
  owners: ['postgres'],
  relations: ['auth.users'],
  functions: [],
};

let ids = 0;
const entry = (
  type: string,
  name: string,
  schema = 'public',
  more: Partial<SchemaEntry> = {},
): SchemaEntry => ({
  dumpId: (ids += 1),
  catalogOid: '0',
  oid: '0',
  dependencies: [],
  name,
  type,
  schema,
  owner: 'postgres',
  sql: `CREATE ${type} ${name};`,
  tableAccessMethod: undefined,
  ...more,
});

const users = { number: 3, schema: 'auth', name: 'users' } as TableEntry;
const plan = (entries: readonly SchemaEntry[], tables: readonly TableEntry[] = []): RestorePlan => ({
  tables,
  preData: entries,
  postData: [],
  sequences: [],
  database: [],
  materializedViews: [],
  rows: 0n,
  copyBytes: 0,
  storedBytes: 0,
  notes: [],
  blockers: [],
});
const manifest = (profile: 'postgres' | 'supabase', clean = false) =>
  ({ clean, manifest: { server: { profile } } }) as Parameters<typeof planIntoSupabase>[2];

const fitted = (...entries: SchemaEntry[]): string[] =>
  planIntoSupabase(plan(entries), FACTS, manifest('supabase')).preData.map(
    (one) => `${one.type} ${one.name}`,
  );

test.each([
  ['the platform’s schema', entry('SCHEMA', 'auth', '-')],
  ['its tables', entry('TABLE', 'users', 'auth')],
  ['their keys', entry('CONSTRAINT', 'users users_pkey', 'auth')],
  ['grants on its schemas', entry('ACL', 'SCHEMA "storage"', '-')],
  ['its event triggers', entry('EVENT TRIGGER', 'pgrst_ddl_watch', '-')],
  ['extensions that are there', entry('EXTENSION', 'pgcrypto', '-')],
  ['what is said of extensions', entry('COMMENT', 'EXTENSION "citext"', '-')],
  ['its publication', entry('PUBLICATION', 'supabase_realtime', '-')],
  ['triggers that are there', entry('TRIGGER', 'objects touch', 'storage')],
  [
    'default privileges of its roles',
    entry('DEFAULT ACL', 'FOR TABLES', 'public', { owner: 'supabase_admin' }),
  ],
])('left out: %s', (_, left) => {
  expect(fitted(left)).toEqual([]);
});

test.each([
  ['schemas of the user', entry('SCHEMA', 'shop', '-')],
  ['grants on schema public', entry('ACL', 'SCHEMA "public"', '-')],
  ['tables of the user', entry('TABLE', 'users')],
  ['triggers of the user on the platform’s tables', entry('TRIGGER', 'users on_auth_user_created', 'auth')],
  ['policies of the user on them', entry('POLICY', 'objects mine', 'storage')],
  ['extensions that are not there', entry('EXTENSION', 'citext', '-')],
  ['tables in its publication', entry('PUBLICATION TABLE', 'supabase_realtime profiles')],
  ['default privileges of the user', entry('DEFAULT ACL', 'FOR TABLES')],
])('kept: %s', (_, kept) => {
  expect(fitted(kept)).toEqual([`${kept.type} ${kept.name}`]);
});

test('what speaks of something left out goes with it; schema public’s own grants stay', () => {
  const event = entry('EVENT TRIGGER', 'pgrst_ddl_watch', '-');
  const schema = entry('SCHEMA', 'public', '-');
  expect(
    fitted(
      event,
      entry('COMMENT', 'about it', '-', { dependencies: [event.dumpId] }),
      schema,
      entry('ACL', 'SCHEMA "public"', '-', { dependencies: [schema.dumpId] }),
    ),
  ).toEqual(['ACL SCHEMA "public"']);
});

test('owners that the role can’t name are not named, and are told', () => {
  const sql = 'CREATE TABLE public.t ();\n\n\nALTER TABLE public.t OWNER TO "some one";';
  const own = { ...entry('TABLE', 'mine'), sql: 'CREATE TABLE m ();\n\nALTER TABLE m OWNER TO postgres;' };
  const result = planIntoSupabase(
    plan([entry('TABLE', 't', 'public', { owner: 'some one', sql }), own]),
    FACTS,
    manifest('supabase'),
  );
  expect(result.preData.map((one) => one.sql)).toEqual(['CREATE TABLE public.t ();', own.sql]);
  expect(result.notes.join('\n')).toContain('some one');
});

test('rows of the platform’s tables go into what is there, unless they are someone else’s', () => {
  expect(planIntoSupabase(plan([], [users]), FACTS, manifest('supabase')).existing).toEqual(new Set([3]));
  expect(planIntoSupabase(plan([], [users]), FACTS, manifest('postgres')).blockers[0]).toContain(
    'auth.users',
  );
});

test('only the last statement names the owner: a body that holds such a line keeps it', () => {
  const body = 'CREATE FUNCTION f() AS $$\nALTER TABLE t OWNER TO someone;\n$$;';
  const sql = `${body}\n\n\nALTER FUNCTION public.f() OWNER TO "some one";`;
  const result = planIntoSupabase(
    plan([entry('FUNCTION', 'f()', 'public', { owner: 'some one', sql })]),
    FACTS,
    manifest('supabase'),
  );
  expect(result.preData[0]?.sql).toBe(body);
});

test('what users made in the platform’s schemas and the project lacks is named', () => {
  const left = [
    entry('TABLE', 'users', 'auth'),
    entry('INDEX', 'users_by_name', 'auth'),
    entry('FUNCTION', 'uid()', 'auth'),
    entry('FUNCTION', 'mine(integer, text)', 'storage'),
    entry('VIEW', 'recent', 'auth'),
  ];
  const facts = { ...FACTS, relations: ['auth.users'], functions: ['auth.uid'] };
  const { preData, notes } = planIntoSupabase(plan(left), facts, manifest('supabase'));
  expect(preData).toEqual([]);
  const note = notes.find((line) => line.includes('lacks'));
  expect(note).toContain('index auth.users_by_name, function storage.mine(integer, text), view auth.recent');
  expect(note).not.toContain('uid');
});

test('--clean drops what the snapshot lists outside of the platform’s schemas, and what hangs on it', () => {
  const own = [
    entry('SCHEMA', 'public', '-'),
    entry('TABLE', 'users', 'auth'),
    entry('TABLE', 'profiles'),
    entry('FUNCTION', 'new_user()'),
    entry('FUNCTION', 'other()'),
  ];
  const after = [
    entry('TRIGGER', 'users on_new_user', 'auth'),
    entry('TRIGGER', 'objects touch', 'storage'),
    entry('POLICY', 'objects mine', 'storage'),
    entry('TRIGGER', 'profiles stamp'),
    entry('PUBLICATION', 'supabase_realtime', '-'),
  ];
  const facts = {
    ...FACTS,
    triggers: ['auth.users on_new_user', 'storage.objects touch', 'public.profiles stamp'],
    triggerFunctions: ['public.new_user', 'storage.touch', 'public.other'],
    policies: ['storage.objects mine'],
  };
  const names = (entries: readonly SchemaEntry[]): string[] => entries.map((one) => one.name);
  const asked = { ...plan(own), postData: after };
  const fitted = planIntoSupabase(asked, facts, manifest('supabase', true));
  expect(names(fitted.preData)).toEqual(['profiles', 'new_user()', 'other()']);
  // The platform's own trigger and publication stay; the user's are made again.
  expect(names(fitted.postData)).toEqual(['users on_new_user', 'objects mine', 'profiles stamp']);
  expect(fitted.blockers).toEqual([]);
  const drops = dropsInProject(fitted, facts);
  const dropped = [...own, ...after].filter((one) => drops.dumpIds.includes(one.dumpId));
  expect(names(dropped)).toEqual(['profiles', 'new_user()', 'other()', 'objects mine', 'profiles stamp']);
  expect(drops.withTriggers).toEqual(new Set(['"public"."new_user"']));
  // Without --clean nothing that is there is touched.
  expect(names(planIntoSupabase(asked, facts, manifest('supabase')).postData)).toEqual([]);
});

test('--clean is refused while a trigger that the snapshot does not know would go with a function of it', () => {
  const facts = { ...FACTS, triggers: ['auth.users newer'], triggerFunctions: ['public.new_user'] };
  const asked = plan([entry('FUNCTION', 'new_user()')]);
  expect(planIntoSupabase(asked, facts, manifest('supabase', true)).blockers).toEqual([
    'trigger auth.users newer runs public.new_user() and is not in the snapshot: drop it first',
  ]);
  expect(planIntoSupabase(asked, facts, manifest('supabase')).blockers).toEqual([]);
});
