// A restore to the latest change, killed when the changes are applied: it goes on, whatever was captured meanwhile.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture } from '../support/capture.ts';
import { catchUp } from '../support/capturing.ts';
import { interruptedAt, killedAt } from '../support/failpoints.ts';
import { absentDatabase, newDatabase, rows, sql, stockDump, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(16);
});
afterAll(() => server[Symbol.asyncDispose]());

const DATA = ['--data-only', '--exclude-schema=tidemark'];

test.for(['restore.after-changes', 'restore.after-post-data'] as const)(
  'I 46: killed at %s, changes are not applied again: latest has moved, and triggers and foreign keys are there',
  { timeout: 120_000 },
  async (point) => {
    await using folder = await temporaryFolder();
    const url = await newDatabase(server);
    await sql(
      url,
      `CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE log (n serial PRIMARY KEY, p int);
       CREATE TABLE c (id serial PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE);
       CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.log (p) VALUES (NEW.id); RETURN NEW; END$$;
       CREATE TRIGGER note AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION note();
       CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM log`,
    );
    await initCapture(url, folder.path);
    await catchUp(url, folder.path);
    const common = ['--url', url, '--repository', folder.path];
    await tidemarkJson(['snapshot', ...common]);
    await sql(
      url,
      'INSERT INTO p VALUES (1), (2); INSERT INTO c (p) VALUES (1), (2); REFRESH MATERIALIZED VIEW counted',
    );
    await sql(url, 'CREATE VIEW v AS SELECT 1 AS one; ALTER TABLE p ADD seen timestamptz DEFAULT now()');
    await sql(url, 'ALTER TABLE c RENAME TO child; INSERT INTO child (p) VALUES (2)');
    const truth = await stockDump(url, 16, DATA);
    await catchUp(url, folder.path);
    const target = absentDatabase(server);
    const restore = ['restore', ...common, '--target', target, '--create'];
    await killedAt({ point, args: restore });
    await sql(url, 'DELETE FROM p WHERE id = 1; INSERT INTO p VALUES (3)');
    await catchUp(url, folder.path);
    const again = await tidemark([...restore, '--json']);
    expect(again.exitCode).toBe(0);
    const { report } = JSON.parse(again.stdout) as { report: { changes: unknown } };
    // All of them are told, also those that an earlier run has made.
    expect(report.changes).toMatchObject({
      applied: 7,
      schemaChanges: { applied: 3, inferred: [], notApplied: [] },
    });
    expect(await rows(target, 'SELECT * FROM v')).toEqual([{ one: 1 }]);
    expect(await stockDump(target, 16, DATA)).toBe(truth);
    expect(await rows(target, 'SELECT * FROM counted')).toEqual([{ count: '2' }]);
  },
);

test(
  'I 46: killed within its schema changes, a restore goes on behind the last one that is there',
  { timeout: 120_000 },
  async () => {
    await using folder = await temporaryFolder();
    const url = await newDatabase(server);
    await sql(
      url,
      `CREATE TABLE a (id int PRIMARY KEY, v int); CREATE INDEX ON a (v); CREATE TYPE e AS ENUM ('x'); INSERT INTO a VALUES (1, 1)`,
    );
    await initCapture(url, folder.path);
    await catchUp(url, folder.path);
    const common = ['--url', url, '--repository', folder.path];
    await tidemarkJson(['snapshot', ...common]);
    // In one transaction, so that the replay is within it when it is killed.
    await sql(
      url,
      `BEGIN; INSERT INTO a VALUES (2, 2); ALTER TABLE a RENAME TO b; INSERT INTO b VALUES (3, 3); ALTER TABLE b ADD w timestamptz DEFAULT now();
     UPDATE b SET v = 9 WHERE id = 1; CREATE TABLE a (id int PRIMARY KEY, e e); INSERT INTO a VALUES (1, 'x'); COMMIT`,
    );
    await sql(url, `ALTER TYPE e ADD VALUE 'y'`);
    await sql(url, `INSERT INTO a VALUES (2, 'y'); DROP INDEX a_v_idx; CREATE TABLE c AS SELECT * FROM b`);
    const what = ['--exclude-schema=tidemark', '--table=a', '--table=b', '--table=c'];
    const truth = await stockDump(url, 16, what);
    await catchUp(url, folder.path);
    const target = absentDatabase(server);
    const restore = ['restore', ...common, '--target', target, '--create'];
    expect(await interruptedAt({ point: 'restore.schema-changed', args: restore, time: 2 })).toBe(130);
    for (const time of [1, 3, 4, 2]) await killedAt({ point: 'restore.schema-changed', args: restore, time });
    const { report } = (await tidemarkJson(restore)) as { report?: unknown };
    expect(report).toMatchObject({
      changes: { schemaChanges: { applied: 6, inferred: [], notApplied: [] } },
    });
    expect(await stockDump(target, 16, what)).toBe(truth);
  },
);
