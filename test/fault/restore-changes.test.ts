// A restore to the latest change, killed when the changes are applied: it goes on, whatever was captured meanwhile.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture } from '../support/capture.ts';
import { catchUp } from '../support/capturing.ts';
import { killedAt } from '../support/failpoints.ts';
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
    await sql(url, 'CREATE VIEW v AS SELECT 1 AS one');
    const truth = await stockDump(url, 16, DATA);
    await catchUp(url, folder.path);
    const target = absentDatabase(server);
    const restore = ['restore', ...common, '--target', target, '--create'];
    await killedAt({ point, args: restore });
    await sql(url, 'DELETE FROM p WHERE id = 1; INSERT INTO p VALUES (3)');
    await catchUp(url, folder.path);
    // Exit 3: of the view it is told that it is missing, also when an earlier run has passed it.
    const again = await tidemark([...restore, '--json']);
    expect(again.exitCode).toBe(3);
    const { report } = JSON.parse(again.stdout) as { report: { changes: unknown } };
    expect(report.changes).toMatchObject({ applied: 6, schemaChanges: 1 });
    expect(await stockDump(target, 16, DATA)).toBe(truth);
    expect(await rows(target, 'SELECT * FROM counted')).toEqual([{ count: '2' }]);
  },
);
