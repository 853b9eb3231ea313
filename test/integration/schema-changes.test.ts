// Schema changes that stand in the change stream: made by a restore as they were on the source, in their places among
// the rows. Truth is stock pg_dump of the source, schema and data, at each point.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { ddlMessages, initCapture, peek } from '../support/capture.ts';
import { catchUp, position } from '../support/capturing.ts';
import { absentDatabase, newDatabase, rows, sql, stockDump, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark } from '../support/tidemark.ts';

const BEFORE = `
  CREATE TABLE person (id int PRIMARY KEY, name varchar(20), gone text, age int, code varchar(5));
  CREATE TABLE visit (id serial PRIMARY KEY, person int REFERENCES person, at date DEFAULT '2026-01-02');
  CREATE INDEX visit_at ON visit (at);
  CREATE TYPE mood AS ENUM ('sad', 'glad');
  CREATE TABLE feeling (id int PRIMARY KEY, mood mood DEFAULT 'sad', note text);
  CREATE VIEW names AS SELECT name FROM person;
  CREATE TABLE doomed (id int PRIMARY KEY); CREATE VIEW of_doomed AS SELECT * FROM doomed;
  CREATE TABLE parted (id int, v int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
  CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
  CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2';
  CREATE TABLE base (id int PRIMARY KEY, CONSTRAINT positive CHECK (id > 0)); CREATE TABLE derived (extra text) INHERITS (base);
  CREATE DOMAIN small AS int CHECK (VALUE < 100);
  INSERT INTO person SELECT n, 'p' || n, 'x', n, 'c' FROM generate_series(1, 5) n; INSERT INTO visit (person) VALUES (1), (2);
  INSERT INTO feeling VALUES (1, 'sad'), (2, 'glad'); INSERT INTO doomed VALUES (1); INSERT INTO parted VALUES (1, 1);
  INSERT INTO derived VALUES (3, 'e')`;

const WHAT = ['--exclude-schema=tidemark', '--no-publications'];

/** In order; a point stands behind each. Statements of one are sent one by one, since each is a command of its own. */
const STEPS: readonly (readonly [string, readonly string[]])[] = [
  [
    'columns',
    [
      `INSERT INTO person VALUES (6, 'six', 'y', 6)`,
      `ALTER TABLE person ADD COLUMN mail text NOT NULL DEFAULT 'none', ADD COLUMN since timestamptz DEFAULT now(), DROP COLUMN gone`,
      `INSERT INTO person (id, name, mail) VALUES (7, 'seven', 'a@b')`,
      `ALTER TABLE person RENAME COLUMN name TO full_name`,
      `UPDATE person SET full_name = 'one' WHERE id = 1`,
      `ALTER TABLE person ALTER COLUMN code TYPE varchar(40)`,
      `UPDATE person SET code = 'longer than five' WHERE id = 2`,
      `ALTER TABLE person ALTER COLUMN mail DROP NOT NULL, ALTER COLUMN mail DROP DEFAULT, ALTER COLUMN age SET DEFAULT 18`,
      `COMMENT ON COLUMN person.age IS 'in years'`,
      `INSERT INTO person (id) VALUES (8)`,
    ],
  ],
  [
    'tables',
    [
      `CREATE SCHEMA shop; CREATE SEQUENCE shop.numbers INCREMENT 5`,
      `CREATE TABLE shop.item (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int DEFAULT nextval('shop.numbers') UNIQUE, price numeric(9,2) CHECK (price >= 0),
         twice int GENERATED ALWAYS AS (n * 2) STORED, person int REFERENCES person ON DELETE CASCADE)`,
      `INSERT INTO shop.item (price, person) VALUES (1.5, 1), (2, 2)`,
      `CREATE TABLE copied (LIKE shop.item INCLUDING ALL); INSERT INTO copied (n, price) VALUES (1, 1)`,
      `CREATE TABLE selected AS SELECT id, full_name FROM person`,
      `CREATE TABLE keyed (id int NOT NULL PRIMARY KEY, full_name text); INSERT INTO keyed SELECT * FROM selected`,
      `SELECT id INTO TEMP t FROM person`,
      `SELECT id, price INTO chosen FROM shop.item`,
      `INSERT INTO selected VALUES (99, 'later')`,
      `ALTER TABLE visit RENAME TO stay`,
      `INSERT INTO stay (person) VALUES (3)`,
      `ALTER TABLE stay SET SCHEMA shop`,
      `UPDATE shop.stay SET person = 4 WHERE id = 1`,
      `CREATE UNLOGGED TABLE volatile (id int)`,
      `DROP VIEW of_doomed`,
      `DROP TABLE doomed`,
    ],
  ],
  [
    'indexes and constraints',
    [
      `CREATE INDEX person_mail ON person (lower(mail)) WHERE age > 1`,
      `DROP INDEX shop.visit_at`,
      `ALTER TABLE person ADD CONSTRAINT grown CHECK (age > 0) NOT VALID`,
      `ALTER TABLE person VALIDATE CONSTRAINT grown`,
      `ALTER TABLE person RENAME CONSTRAINT grown TO of_age`,
      `ALTER INDEX person_mail RENAME TO person_by_mail`,
      `ALTER TABLE keyed DROP CONSTRAINT keyed_pkey`,
      `INSERT INTO keyed VALUES (99, 'without')`,
      `CREATE UNIQUE INDEX feeling_note ON feeling (note)`,
      `ALTER TABLE feeling ADD CONSTRAINT noted UNIQUE USING INDEX feeling_note`,
      `CREATE UNIQUE INDEX chosen_key ON chosen (id)`,
      `ALTER TABLE chosen ADD CONSTRAINT chosen_key UNIQUE USING INDEX chosen_key`,
      `ALTER INDEX person_by_mail SET (fillfactor = 60)`,
      `ALTER TABLE shop.stay DROP CONSTRAINT visit_person_fkey`,
      `ALTER TABLE shop.stay ADD FOREIGN KEY (person) REFERENCES person DEFERRABLE`,
      `CREATE INDEX CONCURRENTLY person_since ON person (since)`,
    ],
  ],
  [
    'types',
    [
      `BEGIN; INSERT INTO feeling VALUES (3, 'sad'); ALTER TYPE mood ADD VALUE 'wild' BEFORE 'glad'; COMMIT`,
      `INSERT INTO feeling VALUES (4, 'wild')`,
      `ALTER TYPE mood RENAME VALUE 'glad' TO 'happy'`,
      `UPDATE feeling SET mood = 'happy' WHERE id = 3`,
      `CREATE TYPE pair AS (a int, b text); CREATE DOMAIN large AS bigint NOT NULL DEFAULT 7 CHECK (VALUE > 5)`,
      `ALTER TYPE pair ADD ATTRIBUTE c date`,
      `BEGIN; CREATE TYPE size AS ENUM ('S'); CREATE TABLE shirt (id int PRIMARY KEY, size size, pair pair, n large DEFAULT 9); INSERT INTO shirt VALUES (1, 'S', (1, 'b', '2026-01-01')); COMMIT`,
      `ALTER TYPE size RENAME TO measure`,
      `ALTER TYPE measure SET SCHEMA shop`,
      `INSERT INTO shirt VALUES (2, 'S', NULL, 8)`,
      `ALTER DOMAIN large DROP NOT NULL; ALTER DOMAIN large ADD CONSTRAINT limited CHECK (VALUE < 1000)`,
      `DROP DOMAIN small`,
    ],
  ],
  [
    'partitions and inheritance',
    [
      `CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20)`,
      `INSERT INTO parted VALUES (11, 1), (2, 2)`,
      `CREATE TABLE parted_3 (id int NOT NULL PRIMARY KEY, v int); INSERT INTO parted_3 VALUES (25, 5); ALTER TABLE parted ATTACH PARTITION parted_3 FOR VALUES FROM (20) TO (30)`,
      `ALTER TABLE parted ADD COLUMN made timestamptz DEFAULT now(), ADD COLUMN w int`,
      `UPDATE parted SET w = id; CREATE INDEX parted_w ON parted (w)`,
      `ALTER TABLE parted DETACH PARTITION parted_2`,
      `INSERT INTO parted_2 VALUES (500, 500)`,
      `ALTER TABLE base ADD COLUMN more int DEFAULT 4, DROP CONSTRAINT positive`,
      `INSERT INTO derived (id, extra) VALUES (-4, 'f'); ALTER TABLE base DROP COLUMN more`,
      `DELETE FROM parted WHERE id = 2`,
    ],
  ],
  [
    'code',
    [
      `CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n + n'`,
      `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.age := coalesce(NEW.age, 0) + 1; RETURN NEW; END $$`,
      `CREATE TRIGGER note BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION note()`,
      `INSERT INTO person (id, age) VALUES (9, 9)`,
      `ALTER TABLE person ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON person FOR SELECT USING (age > 10)`,
      `CREATE OR REPLACE VIEW names AS SELECT full_name AS name, age FROM person`,
      `CREATE MATERIALIZED VIEW ages AS SELECT age, count(*) FROM person GROUP BY age; CREATE UNIQUE INDEX ON ages (age)`,
      `COMMENT ON TABLE person IS 'people; not "rows"'; COMMENT ON FUNCTION note() IS 'counts'`,
      `ALTER FUNCTION twice RENAME TO doubled`,
      `ALTER TABLE person DISABLE TRIGGER note`,
      `DO $$ BEGIN CREATE TABLE from_do (id int PRIMARY KEY); INSERT INTO from_do VALUES (1); EXECUTE 'ALTER TABLE from_do ADD v int DEFAULT 3'; END $$`,
      `CREATE TABLE one_of_two (id int); CREATE TABLE two_of_two (id int); INSERT INTO two_of_two VALUES (2)`,
      `ALTER SCHEMA shop RENAME TO store`,
      `INSERT INTO store.item (price) VALUES (3)`,
      `ALTER TABLE store.item SET (fillfactor = 70)`,
      `DROP TABLE copied, chosen; DROP TYPE pair CASCADE`,
    ],
  ],
];

const FEWER = ['tables', 'code'];

describe.for([14, 18] as const)('PostgreSQL %i', (major) => {
  let server: ThrowawayServer;
  beforeAll(async () => {
    server = await testServer(major);
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test(
    'I 24, I 29: at points before, between and behind schema changes of every kind, the source as it was',
    { timeout: 300_000 },
    async () => {
      await using folder = await temporaryFolder();
      const url = await newDatabase(server);
      await sql(url, BEFORE);
      await initCapture(url, folder.path);
      await catchUp(url, folder.path);
      const common = ['--url', url, '--repository', folder.path];
      const taken = await tidemark(['snapshot', ...common]);
      expect(taken).toMatchObject({ exitCode: 0 });
      const points: { name: string; lsn: string; truth: string[] }[] = [];
      for (const [name, statements] of STEPS) {
        for (const statement of statements) await sql(url, statement);
        points.push({ name, lsn: await position(url), truth: normal(await stockDump(url, major, WHAT)) });
      }
      await sql(url, 'DROP TABLE person CASCADE');
      await catchUp(url, folder.path);
      // All of them on the newest major.
      const chosen = points.filter(({ name }) => major === 18 || FEWER.includes(name));
      for (const { name, lsn, truth } of chosen) {
        const target = absentDatabase(server);
        const restore = [
          'restore',
          ...common,
          '--to',
          `lsn:${lsn}`,
          '--target',
          target,
          '--create',
          '--json',
        ];
        const { exitCode, stdout, stderr } = await tidemark(restore);
        expect.soft({ name, exitCode, told: told(stdout), stderr: exitCode === 0 ? '' : stderr }).toEqual({
          name,
          exitCode: 0,
          told: { inferred: [], notApplied: [] },
          stderr: '',
        });
        expect
          .soft({ name, dump: normal(await stockDump(target, major, WHAT)) })
          .toEqual({ name, dump: truth });
      }
    },
  );
});

describe('what is no schema change of the source, or can’t be made', () => {
  let server: ThrowawayServer;
  beforeAll(async () => {
    server = await testServer(17);
  });
  afterAll(() => server[Symbol.asyncDispose]());

  /** A captured source with a snapshot, and a restore of it to the latest change. */
  async function captured(schema: string, folder: string, ...how: string[]) {
    const url = await newDatabase(server);
    await sql(url, schema);
    await initCapture(url, folder);
    await catchUp(url, folder);
    const common = ['--url', url, '--repository', folder];
    expect(await tidemark(['snapshot', ...common, ...how])).toMatchObject({ exitCode: 0 });
    const restored = async (...more: string[]) => {
      const target = absentDatabase(server);
      await catchUp(url, folder);
      const done = await tidemark(['restore', ...common, '--target', target, '--create', '--json', ...more]);
      return { target, ...done };
    };
    return { url, restored };
  }

  const DATA = ['--data-only', ...WHAT];

  test(
    'P12, I 52: messages that others send under the name are ignored, and told',
    { timeout: 120_000 },
    async () => {
      await using folder = await temporaryFolder();
      const { url, restored } = await captured(
        'CREATE TABLE t (id int PRIMARY KEY)',
        folder.path,
        '--engine',
        'pg_dump',
      );
      await sql(url, 'INSERT INTO t VALUES (1); ALTER TABLE t ADD v int; INSERT INTO t VALUES (2, 2)');
      const [genuine] = ddlMessages(await peek(url, folder.path));
      const forged = JSON.stringify({
        ...genuine?.facts,
        kind: 'drop',
        objects: [{ type: 'table', identity: 'public.t', original: true }],
      });
      const emit = (content: string): string =>
        `SELECT pg_logical_emit_message(true, 'tidemark:ddl', $f$${content}$f$)`;
      await sql(url, `CREATE ROLE forger LOGIN PASSWORD 'x'; GRANT INSERT ON t TO forger`);
      const other = new URL(url);
      [other.username, other.password] = ['forger', 'x'];
      // By a role that may do nothing else; and one of ours once more, word for word, in another transaction.
      await sql(other.href, emit(`${genuine?.digest}\n${forged}`));
      await sql(
        url,
        `${emit(`${genuine?.digest}\n${genuine?.body.toString()}`)}; INSERT INTO t VALUES (3, 3)`,
      );
      const truth = normal(await stockDump(url, 17, DATA));
      const { target, stdout } = await restored();
      expect(JSON.parse(stdout)).toMatchObject({
        report: { changes: { ignoredMessages: 2, schemaChanges: { applied: 1, inferred: [] } } },
      });
      expect(normal(await stockDump(target, 17, DATA))).toEqual(truth);
    },
  );

  test(
    'I 28: without event triggers, what the changes prove is made and told; what they don’t ends it',
    { timeout: 120_000 },
    async () => {
      await using folder = await temporaryFolder();
      const { url, restored } = await captured(
        `CREATE TABLE t (id int PRIMARY KEY, gone int); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO t VALUES (1, 1)`,
        folder.path,
      );
      await sql(
        url,
        'DROP EVENT TRIGGER tidemark_ddl; DROP EVENT TRIGGER tidemark_drop; DROP EVENT TRIGGER tidemark_rewrite',
      );
      for (const statement of [
        'ALTER TABLE t ADD v numeric(5,2)',
        'INSERT INTO t VALUES (2, 2, 2.5)',
        'ALTER TABLE t DROP gone',
        'UPDATE t SET v = 3 WHERE id = 1',
        'CREATE TABLE made (id int PRIMARY KEY, at date)',
        `INSERT INTO made VALUES (1, '2026-01-01')`,
        'ALTER TABLE u RENAME TO renamed',
        'INSERT INTO renamed VALUES (1)',
      ])
        await sql(url, statement);
      const truth = normal(await stockDump(url, 17, DATA));
      const first = await restored();
      expect({ code: first.exitCode, told: told(first.stdout) }).toEqual({
        code: 3,
        told: {
          notApplied: [],
          inferred: [
            expect.stringContaining('public.t has no column v'),
            expect.stringContaining('public.t has a column gone'),
            expect.stringContaining('public.made does not exist'),
            expect.stringContaining('public.renamed does not exist'),
          ],
        },
      });
      expect(normal(await stockDump(first.target, 17, DATA))).toEqual(truth);
      await sql(url, 'ALTER TABLE t RENAME v TO w');
      await sql(url, 'INSERT INTO t VALUES (3, 3)');
      expect(await restored()).toMatchObject({
        exitCode: 7,
        stderr: expect.stringContaining('target.drift'),
      });
    },
  );

  test(
    'what a message does not tell is told by its name; a rewrite closes the window',
    { timeout: 120_000 },
    async () => {
      await using folder = await temporaryFolder();
      const { url, restored } = await captured('CREATE TABLE t (id int PRIMARY KEY)', folder.path);
      await sql(url, `CREATE ROLE reader`);
      await sql(url, 'GRANT SELECT ON t TO reader');
      await sql(url, 'CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int); INSERT INTO t VALUES (1)');
      const { exitCode, stdout } = await restored();
      expect({ exitCode, told: told(stdout) }).toMatchObject({
        exitCode: 3,
        told: {
          inferred: [],
          notApplied: [
            { what: 'GRANT', why: expect.stringContaining('not recorded') },
            {
              what: expect.stringContaining('public.total(integer)'),
              why: expect.stringContaining('aggregate'),
            },
          ],
        },
      });
      await sql(url, 'ALTER TABLE t ADD u uuid DEFAULT gen_random_uuid()');
      await sql(url, 'INSERT INTO t VALUES (2)');
      expect(await restored()).toMatchObject({ exitCode: 5 });
    },
  );

  test('of some tables alone, a table that was renamed stays one of them', { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder();
    const { url, restored } = await captured(
      `CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY)`,
      folder.path,
    );
    await sql(
      url,
      'ALTER TABLE t RENAME TO u; ALTER TABLE u ADD v int DEFAULT 7; ALTER TABLE other ADD w int',
    );
    await sql(url, 'INSERT INTO u VALUES (1); INSERT INTO other VALUES (1); CREATE TABLE third (id int)');
    const { target, exitCode, stdout } = await restored('--table', 'public.t');
    expect({ exitCode, told: told(stdout) }).toEqual({ exitCode: 0, told: { inferred: [], notApplied: [] } });
    expect(
      await rows(
        target,
        `SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`,
      ),
    ).toEqual([{ name: 'u' }]);
    expect(await rows(target, 'SELECT * FROM u')).toEqual([{ id: 1, v: 7 }]);
  });
});

/** Positions of sequences, which may be further, and our event triggers left out. */
function normal(dump: string): string[] {
  return dump
    .replaceAll(/^SELECT pg_catalog\.setval\(.*$/gm, '')
    .replaceAll(/^(?:CREATE|ALTER) EVENT TRIGGER "tidemark_[^;]*;$/gm, '')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('--'));
}

function told(stdout: string): unknown {
  try {
    const { report } = JSON.parse(stdout) as {
      report: { changes: { schemaChanges: { inferred: unknown; notApplied: unknown } } };
    };
    const { inferred, notApplied } = report.changes.schemaChanges;
    return { inferred, notApplied };
  } catch {
    return stdout;
  }
}
