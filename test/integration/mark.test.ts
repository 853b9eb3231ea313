// Named points: written into a real source, captured, and restored to.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture } from '../support/capture.ts';
import { capture } from '../support/capturing.ts';
import { absentDatabase, newDatabase, rows, sql, stockDump, testServer } from '../support/postgres.ts';
import { storedWords } from '../support/stored-stream.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

const DATA = ['--data-only', '--exclude-schema=tidemark'];

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(17);
  await sql(server.url(), `CREATE ROLE nobody LOGIN PASSWORD 'secret'`);
});
afterAll(() => server[Symbol.asyncDispose]());

async function failing(args: readonly string[]): Promise<unknown> {
  const ran = await tidemark([...args, '--json']);
  const { error } = JSON.parse(ran.stdout) as { error: { code: string } };
  return { exitCode: ran.exitCode, code: error.code };
}

test(
  'a mark is captured and restored to; what is forged in its name is not',
  { timeout: 120_000 },
  async () => {
    await using folder = await temporaryFolder();
    const url = await newDatabase(server);
    await sql(
      url,
      'CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n FROM generate_series(1, 50) n',
    );
    const common = ['--url', url, '--repository', folder.path];
    const marking = ['mark', 'vor "Ostern" 1', '--url', url];
    expect(await failing(marking)).toEqual({ exitCode: 4, code: 'source.not_set_up' });
    await initCapture(url, folder.path);
    const run = capture(url, folder.path);
    await run.said('streaming');
    await tidemarkJson(['snapshot', ...common]);
    await sql(url, `UPDATE t SET v = 'kept' WHERE id < 20; DELETE FROM t WHERE id = 50`);
    const truth = await stockDump(url, 17, DATA);
    const marked = await tidemarkJson(marking);
    await sql(url, `UPDATE t SET v = 'lost'; DELETE FROM t WHERE id > 10`);
    // All is right but the digest: even one who knows the source's id lacks the secret.
    const [source] = await rows<{ id: string }>(url, 'SELECT id::text AS "id" FROM tidemark.source_id');
    const [forged] = await rows<{ lsn: string }>(
      url.replace(/\/\/postgres:[^@]*@/, '//nobody:secret@'),
      `SELECT pg_logical_emit_message(true, 'tidemark:mark', convert_to(repeat('0', 64) || E'\\n' || jsonb_build_object(
       'version', 1, 'kind', 'mark', 'name', 'vor "Ostern" 1', 'xid', pg_current_xact_id()::text, 'source', '${source?.id}')::text, 'UTF8'))::text AS "lsn"`,
    );
    expect(forged?.lsn).toMatch(/\//);
    expect(
      await failing([
        ...marking.slice(0, 2),
        '--url',
        url.replace(/\/\/postgres:[^@]*@/, '//nobody:secret@'),
      ]),
    ).toEqual({ exitCode: 6, code: 'source.permission' });
    // Stored behind the forged one: it has been seen by then.
    const later = await tidemarkJson(['mark', 'later', '--url', url]);
    await until(async () =>
      (await storedWords({ url: folder.path })).marks.some(({ name }) => name === 'later'),
    );
    const { marks } = await storedWords({ url: folder.path });
    expect(Object.fromEntries(marks.map(({ name, xid }) => [name, xid]))).toEqual({
      'vor "Ostern" 1': marked['xid'],
      later: later['xid'],
    });
    expect(marks).toHaveLength(2);
    expect((await run.said('ignored-messages'))['count']).toBe(1);
    const target = absentDatabase(server);
    const restore = ['restore', '--to', 'mark:vor "Ostern" 1', '--target', target, '--create', ...common];
    // Its point is reached once what comes next is stored, too.
    await until(async () => (await tidemark([...restore, '--dry-run'])).exitCode === 0);
    await tidemarkJson(restore);
    expect(await stockDump(target, 17, DATA)).toBe(truth);
    expect((await run.stop()).exitCode).toBe(0);
  },
);

test('a name that is none, and a role without the secret’s schema, are refused by name', async () => {
  await using folder = await temporaryFolder();
  const url = await newDatabase(server);
  await initCapture(url, folder.path);
  expect(await failing(['mark', '', '--url', url])).toEqual({ exitCode: 2, code: 'usage.invalid' });
  expect(await failing(['mark', 'x'.repeat(201), '--url', url])).toEqual({
    exitCode: 2,
    code: 'usage.invalid',
  });
  expect((await tidemarkJson(['mark', 'x'.repeat(200), '--url', url]))['name']).toHaveLength(200);
  await sql(url, 'GRANT pg_read_all_data TO nobody; GRANT USAGE ON SCHEMA tidemark TO nobody');
  const poor = url.replace(/\/\/postgres:[^@]*@/, '//nobody:secret@');
  // Row security shows it an empty table.
  expect(await rows(poor, 'SELECT key FROM tidemark.secret')).toEqual([]);
  expect(await failing(['mark', 'mine', '--url', poor])).toEqual({ exitCode: 6, code: 'source.permission' });
  await sql(url, 'REVOKE pg_read_all_data FROM nobody');
  await sql(url, 'DROP TABLE tidemark.secret');
  expect(await failing(['mark', 'mine', '--url', url])).toEqual({ exitCode: 4, code: 'source.not_set_up' });
});
