// What comes when all changes are applied: foreign keys are counted, sequences are moved.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { foreignKeyViolations } from '../../src/restore/foreign-keys.ts';
import { advanceSequences } from '../../src/replay/sequences.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { newDatabase, rows, session, sql, testServer } from '../support/postgres.ts';

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(18);
});
afterAll(() => server[Symbol.asyncDispose]());

const ids = async (url: string, table: string): Promise<string[]> =>
  (await rows<{ id: string }>(url, `SELECT id::text AS "id" FROM ${table} ORDER BY id::text`)).map(
    ({ id }) => id,
  );

test('I 35: broken foreign keys are counted', async () => {
  const url = await newDatabase(server);
  await sql(
    url,
    `CREATE TABLE p (a int, b text, PRIMARY KEY (a, b)); CREATE TABLE parted (id int PRIMARY KEY, a int, b text, FOREIGN KEY (a, b) REFERENCES p) PARTITION BY RANGE (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10); CREATE TABLE full_match (a int, b text, FOREIGN KEY (a, b) REFERENCES p MATCH FULL);
    CREATE TABLE fine (a int, b text); ALTER TABLE fine ADD FOREIGN KEY (a, b) REFERENCES p NOT VALID;
    SET session_replication_role = replica; INSERT INTO p VALUES (1, 'x'); INSERT INTO fine VALUES (9, 'x');
    INSERT INTO parted VALUES (1, 1, 'x'), (2, 1, NULL), (3, 2, 'x'); INSERT INTO full_match VALUES (1, 'x'), (NULL, NULL), (1, NULL), (2, 'y')`,
  );
  await using connection = await session(url);
  expect(await foreignKeyViolations(connection)).toEqual({
    checked: 2,
    broken: [
      { table: 'public.full_match', constraint: 'full_match_a_b_fkey', rows: '2' },
      { table: 'public.parted', constraint: 'parted_a_b_fkey', rows: '1' },
    ],
    unchecked: [],
  });
});

test('I 39: sequences stand behind rows and samples', async () => {
  const url = await newDatabase(server);
  await sql(
    url,
    `CREATE TABLE s1 (id serial PRIMARY KEY); CREATE TABLE s2 (id bigint GENERATED ALWAYS AS IDENTITY (INCREMENT -1)); CREATE TABLE s3 (id smallserial);
    INSERT INTO s1 VALUES (41); INSERT INTO s2 OVERRIDING SYSTEM VALUE VALUES (-7)`,
  );
  await using connection = await session(url);
  const at = (least: string, most = least) => ({ least, most });
  const samples = new Map([
    ['public.s1_id_seq', at('3', '12')],
    ['public.s2_id_seq', at('-90', '-1')],
    ['public.gone', at('1')],
  ]);
  expect(await advanceSequences(connection, { samples, margin: 0 })).toEqual([
    'public.s1_id_seq',
    'public.s2_id_seq',
  ]);
  expect(await advanceSequences(connection, { samples, margin: 0 })).toEqual([]);
  await connection.execute(
    'INSERT INTO s1 DEFAULT VALUES; INSERT INTO s2 DEFAULT VALUES; INSERT INTO s3 DEFAULT VALUES',
  );
  expect(await Promise.all(['s1', 's2', 's3'].map((table) => ids(url, table)))).toEqual([
    ['41', '42'],
    ['-7', '-91'],
    ['1'],
  ]);
});

test('I 39: what a sequence may have done unseen is passed, both ways, without using it up', async () => {
  const url = await newDatabase(server);
  await sql(
    url,
    `CREATE SEQUENCE up INCREMENT 5; CREATE SEQUENCE down INCREMENT -2; CREATE SEQUENCE fresh START 70;
     CREATE SEQUENCE small AS smallint; SELECT setval('small', 32700); CREATE SEQUENCE over MAXVALUE 40; SELECT setval('over', 40);
     CREATE SEQUENCE wide; SELECT setval('wide', 9223372036854775000); CREATE TABLE t (id serial)`,
  );
  await using connection = await session(url);
  const samples = new Map([
    ['public.up', { least: '20', most: '100' }],
    ['public.down', { least: '-300', most: '-10' }],
  ]);
  await advanceSequences(connection, { samples, margin: 1000 });
  const values = await rows<{ n: string; v: string }>(
    url,
    `SELECT sequencename AS n, last_value::text AS v FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1`,
  );
  expect(Object.fromEntries(values.map(({ n, v }) => [n, v]))).toEqual({
    down: '-2300',
    fresh: '1070',
    over: '40',
    small: '32700',
    t_id_seq: null,
    up: '5100',
    wide: '9223372036854775008',
  });
});
