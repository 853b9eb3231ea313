// What `tidemark status` says of a real source: capture running, stopped, its slot dropped, the server out of reach.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture, namesOf } from '../support/capture.ts';
import { capture } from '../support/capturing.ts';
import { newDatabase, sql, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(17, { max_slot_wal_keep_size: '1GB' });
});
afterAll(() => server[Symbol.asyncDispose]());

interface Told {
  readonly exitCode: number | undefined;
  readonly document: {
    readonly ok: boolean;
    readonly sourceReached: boolean;
    readonly tidemark: string | null;
    readonly ddl: string | null;
    readonly rpo: { readonly seconds: number | null };
    readonly lag: { readonly bytes: string; readonly seconds: number | null } | null;
    readonly slot: Readonly<Record<string, unknown>>;
    readonly windows: readonly unknown[];
    readonly gaps: readonly unknown[];
    readonly snapshots: { readonly newest: { readonly ageSeconds: number } | null };
    readonly findings: readonly { readonly check: string; readonly level: string }[];
  };
}

async function status(url: string, repository: string): Promise<Told> {
  const ran = await tidemark(['status', '--url', url, '--repository', repository, '--json']);
  return { exitCode: ran.exitCode, document: JSON.parse(ran.stdout) as Told['document'] };
}

const checks = ({ document }: Told): string[] =>
  document.findings.map(({ check, level }) => `${level} ${check}`);

test('running, stopped, without its slot, out of reach', { timeout: 120_000 }, async () => {
  await using folder = await temporaryFolder();
  const url = await newDatabase(server);
  await sql(url, 'CREATE TABLE t (id int PRIMARY KEY, v text)');
  const common = ['--url', url, '--repository', folder.path];
  await tidemark(['snapshot', ...common]);
  const bare = await status(url, folder.path);
  expect(checks(bare)).toEqual(['info status.capture']);
  expect(bare).toMatchObject({
    exitCode: 0,
    document: { ok: true, tidemark: null, slot: { exists: false } },
  });

  await initCapture(url, folder.path);
  expect(checks(await status(url, folder.path))).toEqual(['error status.capture']);
  const run = capture(url, folder.path);
  await run.said('streaming');
  expect((await tidemark(['snapshot', ...common])).exitCode).toBe(0);
  await sql(url, 'INSERT INTO t SELECT n FROM generate_series(1, 1000) n');
  await until(async () => (await status(url, folder.path)).exitCode === 0);
  const well = await status(url, folder.path);
  expect(well.document).toMatchObject({
    ok: true,
    sourceReached: true,
    tidemark: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/) as unknown,
    ddl: 'exact',
    slot: {
      exists: true,
      active: true,
      lost: false,
      walStatus: 'reserved',
      safeWalBytes: expect.stringMatching(/^\d{9,}$/) as unknown,
    },
    windows: [{}],
    gaps: [],
    findings: [],
  });
  expect(well.document.rpo.seconds).toBeLessThan(70);
  expect(well.document.snapshots.newest?.ageSeconds).toBeLessThan(100);
  const lines = (await tidemark(['status', ...common])).stdout.trimEnd().split('\n');
  expect(lines[0]).toBe('PROTECTED  main');
  expect(lines).toHaveLength(10);

  await run.stop();
  await sql(url, 'INSERT INTO t SELECT n FROM generate_series(1001, 20000) n');
  const stopped = await status(url, folder.path);
  expect(checks(stopped)).toEqual(['error status.capture']);
  expect(stopped).toMatchObject({
    exitCode: 3,
    document: { ok: false, slot: { exists: true, active: false } },
  });
  expect(Number(stopped.document.lag?.bytes)).toBeGreaterThan(1_000_000);
  expect(Number(stopped.document.slot['ownLagBytes'])).toBeGreaterThan(1_000_000);
  expect(stopped.document.slot['secondsLeft']).toBeGreaterThan(0);

  await sql(url, `SELECT pg_drop_replication_slot('${(await namesOf(folder.path)).slot}')`);
  const dropped = await status(url, folder.path);
  expect(checks(dropped)).toEqual(['error status.slot']);
  expect(dropped).toMatchObject({ exitCode: 3, document: { slot: { exists: false }, windows: [{}] } });
  expect((await tidemark(['status', ...common])).stdout).toContain('NOT PROTECTED');

  // A port that nobody listens on.
  const away = await status(url.replace(/:\d+\//, ':1/'), folder.path);
  expect(checks(away)).toEqual(['warning status.source']);
  expect(away).toMatchObject({
    exitCode: 3,
    document: { sourceReached: false, lag: null, slot: { exists: null }, windows: [{}] },
  });
  expect(away.document.rpo.seconds).toBeGreaterThanOrEqual(0);
});
