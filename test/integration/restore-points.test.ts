// Points that a snapshot alone does not reach: restored by the command line, and held against stock pg_dump.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture } from '../support/capture.ts';
import { capture, catchUp, position } from '../support/capturing.ts';
import { absentDatabase, newDatabase, rows, sql, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(17);
});
afterAll(() => server[Symbol.asyncDispose]());

interface Changes {
  readonly report: { readonly changes: { readonly sequencesKnown: boolean; readonly applied: number } };
}

test(
  'I 39: after a restore no sequence repeats a number that is in a row, owned by a column or not',
  { timeout: 120_000 },
  async () => {
    await using folder = await temporaryFolder();
    const url = await newDatabase(server);
    await sql(
      url,
      `CREATE SEQUENCE invoice CACHE 20; CREATE SEQUENCE ticket INCREMENT -3; CREATE SEQUENCE late;
       CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, invoice text, ticket text, late text)`,
    );
    const take = `INSERT INTO t (invoice, ticket) SELECT 'I' || nextval('invoice'), 'T' || nextval('ticket') FROM generate_series(1, 30)`;
    await initCapture(url, folder.path);
    await catchUp(url, folder.path);
    const common = ['--url', url, '--repository', folder.path];
    await tidemarkJson(['snapshot', ...common]);
    // Seen by no heartbeat before the point, but by one behind it.
    await sql(url, `${take}; UPDATE t SET late = 'L' || nextval('late')`);
    const first = await position(url);
    await sql(url, take);
    await catchUp(url, folder.path);
    // The last heartbeat that tells of sequences comes before it: there is one a minute.
    const run = capture(url, folder.path);
    // A look is told when its heartbeat has committed, and the first one has a heartbeat.
    await run.said('status');
    await sql(url, take);
    const last = await position(url);
    const stored = [
      'restore',
      ...common,
      '--to',
      `lsn:${last}`,
      '--target',
      absentDatabase(server),
      '--create',
    ];
    await until(() =>
      tidemarkJson([...stored, '--dry-run']).then(
        () => true,
        () => false,
      ),
    );
    await run.stop();
    for (const [to, known] of [
      [`lsn:${first}`, true],
      ['latest', false],
    ] as const) {
      const target = absentDatabase(server);
      const { report } = (await tidemarkJson([
        'restore',
        ...common,
        '--to',
        to,
        '--target',
        target,
        '--create',
      ])) as unknown as Changes;
      expect({ to, known: report.changes.sequencesKnown }).toEqual({ to, known });
      const [found] = await rows(
        target,
        `SELECT nextval('invoice') > max(substr(invoice, 2)::int) AS invoice, nextval('ticket') < min(substr(ticket, 2)::int) AS ticket,
                nextval('late') > max(substr(late, 2)::int) AS late, nextval('t_id_seq') > max(id) AS id FROM t`,
      );
      expect({ to, ...found }).toEqual({ to, invoice: true, ticket: true, late: true, id: true });
    }
  },
);
