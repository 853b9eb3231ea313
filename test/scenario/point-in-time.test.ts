import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { generateIdentity } from '../../src/archive/age.ts';
import { absentDatabase, rows, sampleDatabase, sql, stockDump, testServer } from '../support/postgres.ts';
import { expectSamePoint } from '../support/same-point.ts';
import { start, temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

/** Without what capture keeps on the source. */
const DATA = ['--data-only', '--exclude-schema=tidemark'];

interface Point {
  readonly to: readonly string[];
  readonly truth: string;
}

/** The source as it is now, with nothing under way, and two ways to ask for it. */
async function remember(source: string, major: 16): Promise<Point[]> {
  // Commit times and the clock are the server's own; a moment apart from the commits on both sides.
  const [now] = await rows<{ lsn: string; time: string }>(
    source,
    `SELECT pg_sleep(0.05)::text, pg_current_wal_insert_lsn()::text AS lsn,
            to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time, pg_sleep(0.05)::text`,
  );
  const truth = await stockDump(source, major, DATA);
  return [`lsn:${now?.lsn}`, `${now?.time}`].map((to) => ({ to: ['--to', to], truth }));
}

test(
  'a company captures every change, loses rows, and gets back the moment before',
  { timeout: 240_000 },
  async () => {
    await using server = await testServer(16);
    await using folder = await temporaryFolder();
    const source = await sampleDatabase(server, 0.01);
    const keys = await generateIdentity();
    writeFileSync(join(folder.path, 'identity.txt'), `${keys.identity}\n`, { mode: 0o600 });
    writeFileSync(
      join(folder.path, 'tidemark.yaml'),
      [
        'sources: { main: { url: "${DATABASE_URL}" } }',
        'repositories: { local: ./backups }',
        `encryption: { recipients: [ ${keys.recipient} ], identityFile: identity.txt }`,
      ].join('\n'),
    );
    const at = { cwd: folder.path, env: { DATABASE_URL: source } };
    const schema = await stockDump(source, 16, ['--schema-only']);
    await tidemarkJson(['init', '--capture'], at);
    const capture = start(['capture', '--flush', '1s'], at);
    /** Until all that has committed is stored: what comes next is in another run. A time is found to a run only. */
    const stored = async (): Promise<void> => {
      const [now] = await rows<{ lsn: string }>(
        source,
        "SELECT pg_logical_emit_message(true, 'test', 'x')::text AS lsn",
      );
      await until(async () => {
        const plan = [
          'restore',
          '--to',
          `lsn:${now?.lsn}`,
          '--target',
          absentDatabase(server),
          '--create',
          '--dry-run',
        ];
        return (await tidemark(plan, at)).exitCode === 0;
      });
    };
    try {
      const points: Point[] = [];
      // Changes are applied onto a snapshot that was taken behind the stream's first heartbeat.
      await until(async () => {
        const { streams } = (await tidemarkJson(['list'], at)) as {
          streams: { latestCommitTime?: string }[];
        };
        return streams.some(({ latestCommitTime }) => latestCommitTime !== undefined);
      });
      await tidemarkJson(['snapshot'], at);
      await stored();
      await sql(
        source,
        `UPDATE market.payments SET amount = amount + 1 WHERE amount > 10;
         DELETE FROM market.user_favorites WHERE ctid IN (SELECT ctid FROM market.user_favorites LIMIT 100)`,
      );
      points.push(...(await remember(source, 16)));
      await sql(
        source,
        `BEGIN; TRUNCATE market.viewing_requests; SAVEPOINT s; DELETE FROM market.user_favorites; ROLLBACK TO s; COMMIT`,
      );
      points.push(...(await remember(source, 16)));
      // A snapshot under way changes nothing: each point has its own.
      await tidemarkJson(['snapshot'], at);
      await stored();
      await sql(source, `UPDATE market.apartments SET title = title || ' – seen'`);
      points.push(...(await remember(source, 16)));
      // The bad day.
      await sql(source, "DELETE FROM market.user_favorites; UPDATE market.apartments SET title = 'gone'");
      await stored();
      for (const { to, truth } of points) {
        const target = absentDatabase(server);
        await tidemarkJson(['restore', ...to, '--target', target, '--create'], at);
        expectSamePoint(await stockDump(target, 16, DATA), truth);
        expect(await stockDump(target, 16, ['--schema-only'])).toBe(schema);
      }
      const one = absentDatabase(server);
      const [, beforeTheDay] = points.at(-1)?.to ?? [];
      await tidemarkJson(
        [
          'restore',
          '--to',
          beforeTheDay ?? '',
          '--table',
          'market.user_favorites',
          '--target',
          one,
          '--create',
        ],
        at,
      );
      const [kept] = await rows<{ n: number }>(one, 'SELECT count(*)::int AS n FROM market.user_favorites');
      expect(kept?.n).toBeGreaterThan(100);
      const beyond = await tidemark(
        ['restore', '--to', '2099-01-01T00:00:00Z', '--target', absentDatabase(server), '--create'],
        at,
      );
      expect(beyond.exitCode).toBe(5);
      // No row tells of a view: it is made from what its command has left in the stream.
      await sql(source, 'CREATE VIEW market.cheap AS SELECT id FROM market.apartments');
      await stored();
      const late = absentDatabase(server);
      const told = await tidemark(['restore', '--target', late, '--create'], at);
      expect(told).toMatchObject({
        exitCode: 0,
        stdout: expect.stringContaining('1 schema change(s) were made as on the source'),
      });
      await sql(late, 'SELECT FROM market.cheap');
      expect((await tidemark(['verify', '--deep'], at)).exitCode).toBe(0);
    } finally {
      capture.kill('SIGTERM');
    }
    expect((await capture).exitCode).toBe(0);
  },
);
