// Retention on a real stream: what must stay comes back as stock pg_dump saw it, and a restore is never robbed.
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Schedule } from '../../src/app/config-unattended.ts';
import { runJob } from '../../src/app/scheduled-jobs.ts';
import { Settings } from '../../src/app/settings.ts';
import { initCapture } from '../support/capture.ts';
import { catchUp, position } from '../support/capturing.ts';
import { absentDatabase, newDatabase, sql, stockDump, testServer } from '../support/postgres.ts';
import { expectSamePoint } from '../support/same-point.ts';
import { reached, start, temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

const DATA = ['--data-only', '--exclude-schema=tidemark'];

interface Plan {
  readonly snapshots: readonly { readonly id: string; readonly keep: boolean }[];
  readonly streams: readonly { readonly cut?: string }[];
  readonly windows: readonly { readonly from: string }[];
}
interface Applied {
  readonly removed: { readonly snapshots: readonly string[]; readonly objects: number };
  readonly heldBack: readonly string[];
}

test(
  'I 45, P8: kept snapshots and the window for changes come back after a prune; one that a restore reads stays until it has ended',
  { timeout: 240_000 },
  async () => {
    await using server = await testServer(17);
    await using folder = await temporaryFolder();
    const source = await newDatabase(server);
    const repository = join(folder.path, 'backups');
    await sql(source, 'CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)');
    const work =
      'INSERT INTO t (v) SELECT md5(i::text) FROM generate_series(1, 500) i; UPDATE t SET v = v || id WHERE id % 7 = 0; DELETE FROM t WHERE id % 11 = 0';
    await initCapture(source, repository);
    const at = { cwd: folder.path, env: { DATABASE_URL: source } };
    const keep = (rules: string): Promise<void> =>
      writeFile(
        join(folder.path, 'tidemark.yaml'),
        `repositories: { local: ./backups }\nretention: { local: { ${rules}, grace: 0s } }\n`,
      );
    const truth = (): Promise<string> => stockDump(source, 17, DATA);
    const snapshot = async (): Promise<string> => {
      await sql(source, work);
      await catchUp(source, repository);
      await tidemarkJson(['snapshot'], at);
      await catchUp(source, repository);
      const { snapshots } = (await tidemarkJson(['list'], at)) as { snapshots: { id: string }[] };
      return (
        snapshots
          .map(({ id }) => id)
          .sort()
          .at(-1) ?? ''
      );
    };
    const comesBack = async (to: string, expected: string): Promise<void> => {
      const target = absentDatabase(server);
      await tidemarkJson(['restore', '--to', to, '--target', target, '--create'], at);
      expectSamePoint(await stockDump(target, 17, DATA), expected);
    };

    await keep('keepLast: 2');
    const first = await snapshot();
    const second = await snapshot();
    const secondTruth = await truth();
    await sql(source, work);
    const between = { to: `lsn:${await position(source)}`, truth: await truth() };
    const third = await snapshot();

    const { plan } = (await tidemarkJson(['prune'], at)) as unknown as { plan: Plan };
    expect(plan.snapshots.map(({ id, keep }) => [id, keep])).toEqual([
      [third, true],
      [second, true],
      [first, false],
    ]);
    expect(plan.streams[0]?.cut).toBeDefined();

    // A restore of what goes is under way.
    const restore = start(
      ['restore', '--to', `snapshot:${first}`, '--target', absentDatabase(server), '--create'],
      {
        ...at,
        env: { ...at.env, TIDEMARK_FAILPOINTS: 'restore.after-pre-data=pause' },
      },
    );
    await reached(restore, 'restore.after-pre-data');
    const guarded = await tidemark(['prune', '--apply', '--json'], at);
    expect(guarded.exitCode).toBe(3);
    const { heldBack, removed } = JSON.parse(guarded.stdout) as Applied;
    expect(heldBack).toEqual([expect.stringContaining(`snapshot ${first}: restore`)]);
    expect(removed.snapshots).toEqual([]);
    expect((await tidemark(['verify', first], at)).exitCode).toBe(0);
    restore.kill('SIGINT');
    await restore;

    const applied = (await tidemarkJson(['prune', '--apply'], at)) as unknown as Applied;
    expect(applied.removed.snapshots).toEqual([first]);
    expect((await tidemark(['verify'], at)).exitCode).toBe(0);
    await comesBack(between.to, between.truth);
    await comesBack('latest', await truth());

    // The window for changes moves beyond the second snapshot, which keeps its own instant.
    await keep('keepLast: 2, changes: 1s');
    await until(async () => {
      await sql(source, work);
      await catchUp(source, repository);
      const ran = await tidemark(['prune', '--json'], at);
      return (JSON.parse(ran.stdout) as { plan: Plan }).plan.windows[0]?.from !== plan.windows[0]?.from;
    });
    await tidemarkJson(['prune', '--apply'], at);
    expect((await tidemark(['verify'], at)).exitCode).toBe(0);
    await comesBack(`snapshot:${second}`, secondTruth);
    await comesBack('latest', await truth());
    const gone = await tidemark(
      ['restore', '--to', between.to, '--target', absentDatabase(server), '--create'],
      at,
    );
    expect(gone.exitCode).toBe(5);
    const listed = (await tidemarkJson(['list'], at)) as {
      snapshots: { id: string; use: string }[];
      windows: unknown[];
    };
    expect(listed.snapshots.map(({ id, use }) => [id, use])).toEqual([
      [second, 'own-instant'],
      [third, 'usable'],
    ]);
    expect(listed.windows).toHaveLength(1);

    // As a schedule does it.
    const config = join(folder.path, 'daemon.yaml');
    await writeFile(
      config,
      `repositories: { local: ${repository} }\nretention: { local: { keepLast: 1, changes: 1s, grace: 0s } }\n`,
    );
    const settings = await Settings.load({ config }, { DATABASE_URL: source });
    const weekly = {
      name: 'weekly',
      job: 'prune' as const,
      cron: '0 4 * * 0',
      timezone: 'UTC',
      repository: 'local',
      retry: [],
    } satisfies Schedule;
    const isThere = (id: string): boolean =>
      existsSync(join(repository, 'sources/main/snapshots', id, 'manifest.json'));
    const own = settings.forSchedule({ repository: 'local', storageClass: undefined });
    const { signal } = new AbortController();
    expect(isThere(second)).toBe(true);
    await runJob(own, weekly, signal);
    expect([isThere(second), isThere(third)]).toEqual([false, true]);
  },
);
