// `tidemark run`: capture and schedules under one supervisor, kills, missed runs, notices. What was missed or killed is done as
// soon as it starts, so that no test waits for a minute to pass.
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { counted } from '../support/failpoints.ts';
import type { Of } from '../support/failpoints.ts';
import { mailServer, webhookReceiver } from '../support/notice-receivers.ts';
import {
  absentDatabase,
  newDatabase,
  rows,
  sampleDatabase,
  sql,
  stockDump,
  testServer,
} from '../support/postgres.ts';
import { expectSamePoint } from '../support/same-point.ts';
import { reached, temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { unattended } from '../support/unattended.ts';
import { until } from '../support/until.ts';

const DATA = ['--data-only', '--exclude-schema=tidemark'];
const DAILY = '{ name: daily, cron: "0 2 * * *", timezone: Europe/Berlin, job: snapshot, retry: [] }';

interface Status {
  readonly ok: boolean;
  readonly schedules: readonly {
    readonly name: string;
    readonly last: { readonly outcome: string; readonly code?: string } | null;
    readonly next: string;
  }[];
  readonly findings: readonly { readonly check: string; readonly message: string }[];
}

let server: ThrowawayServer;
let mail: Awaited<ReturnType<typeof mailServer>>;
let webhook: Awaited<ReturnType<typeof webhookReceiver>>;
beforeAll(async () => {
  server = await testServer(17, { max_replication_slots: '12', max_wal_senders: '12' });
  mail = await mailServer('ops', 'hunter2');
  webhook = await webhookReceiver();
});
afterAll(async () => {
  for (const each of [mail, webhook, server]) await each[Symbol.asyncDispose]();
});

interface Place {
  readonly cwd: string;
  readonly env: Record<string, string>;
}

/** A folder with a configuration, and its source. */
async function place(
  schedules: readonly string[],
  more: readonly string[] = [],
  source?: string,
): Promise<Place & AsyncDisposable> {
  const folder = await temporaryFolder();
  const url = source ?? (await newDatabase(server));
  if (source === undefined)
    await sql(url, `CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)`);
  writeFileSync(
    join(folder.path, 'tidemark.yaml'),
    [
      'sources: { main: { url: "${DATABASE_URL}" } }',
      'repositories: { local: ./backups, other: ./other }',
      'capture: { repository: local, flush: 1s }',
      `schedules: [ ${schedules.join(', ')} ]`,
      ...more,
    ].join('\n'),
  );
  const at = { cwd: folder.path, env: { DATABASE_URL: url } };
  return { ...at, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

async function status(at: Place): Promise<Status> {
  return JSON.parse((await tidemark(['status', '--json'], at)).stdout) as Status;
}

/** Documents of a schedule, oldest first. */
function documents(at: Place, schedule: string, repository = 'backups'): Record<string, unknown>[] {
  const folder = join(at.cwd, repository, 'sources/main/jobs', schedule);
  return readdirSync(folder)
    .sort()
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Record<string, unknown>);
}

/** As if a schedule had last been done then. */
function lastDone(at: Place, schedule: string, job: string, time: string): void {
  const folder = join(at.cwd, 'backups/sources/main/jobs', schedule);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const id = `${time.replaceAll(/[-:]/g, '')}-aaaaaa`;
  const common = { formatVersion: 1, id, source: 'main' };
  writeFileSync(
    join(folder, `${id}.begun.json`),
    JSON.stringify({
      ...common,
      kind: 'tidemark-job-begun',
      schedule,
      job,
      reason: 'scheduled',
      dueAt: time,
      attempt: 1,
      startedAt: time,
    }),
  );
  writeFileSync(
    join(folder, `${id}.ended.json`),
    JSON.stringify({ ...common, kind: 'tidemark-job-ended', outcome: 'done', endedAt: time }),
  );
}

test('a first day: both snapshots, changes stored until the end, a standby that takes over, and a missed run', async () => {
  const weekly =
    '{ name: weekly, cron: "0 3 * * 0", job: snapshot, engine: pg_dump, repository: other, retry: [] }';
  await using at = await place(
    [DAILY, weekly, '{ name: check, cron: "0 4 * * *", job: verify }'],
    [
      `smtp: { host: 127.0.0.1, port: ${mail.port}, user: ops, passwordFile: password, from: tidemark@example.com }`,
      `notify: [ { email: ops@example.com }, { webhook: "${webhook.url}", on: [failure, success] } ]`,
    ],
    await sampleDatabase(server),
  );
  writeFileSync(join(at.cwd, 'password'), 'hunter2\n');
  const source = at.env['DATABASE_URL'] ?? '';
  expect(await tidemarkJson(['alert', '--test'], at)).toMatchObject({ ok: true });
  await mail.got('tidemark main: a test');
  await tidemarkJson(['init', '--capture'], at);

  const first = unattended(at);
  await first.said({ kind: 'job-ended', schedule: 'daily', outcome: 'done' });
  await first.said({ kind: 'job-ended', schedule: 'weekly', outcome: 'done' });
  await first.said({ kind: 'job-next', schedule: 'check' });
  // Whoever commits makes capture beat: else it takes a minute until it is past the snapshot.
  await until(async () => {
    await sql(source, "SELECT pg_logical_emit_message(true, 'test', 'x')");
    return (await status(at)).ok;
  });
  expect((await status(at)).schedules).toMatchObject([
    { name: 'daily', last: { outcome: 'done' } },
    { name: 'weekly', last: { outcome: 'done' } },
    { name: 'check' },
  ]);
  await sql(source, "UPDATE market.apartments SET title = title || '!'");
  // For all that it can see, the second one has a first snapshot to take: not while it stands by.
  rmSync(join(at.cwd, 'backups/sources/main/jobs'), { recursive: true });
  const second = unattended(at);
  await second.said({ kind: 'standby' });
  expect(await first.stop()).toBe(0);
  await second.said({ kind: 'job-ended', schedule: 'daily', outcome: 'done' });
  expect(await second.stop('SIGINT')).toBe(0);
  const order = second.events.map(({ kind }) => kind);
  expect(order.indexOf('job-begun')).toBeGreaterThan(order.indexOf('streaming'));
  expect(order.indexOf('streaming')).toBeGreaterThan(order.indexOf('standby'));

  const target = absentDatabase(server);
  await tidemarkJson(['restore', '--repository', 'local', '--target', target, '--create'], at);
  expectSamePoint(await stockDump(target, 17, DATA), await stockDump(source, 17, DATA));
  expect(await counted({ url: join(at.cwd, 'other') })).toMatchObject({ snapshots: 1 });
  expect(documents(at, 'weekly', 'other')).toMatchObject([
    { reason: 'first', attempt: 1 },
    { outcome: 'done', snapshot: expect.any(String) },
  ]);

  // The machine was off for days: once, and told.
  lastDone(at, 'daily', 'snapshot', '2026-01-01T01:00:00Z');
  lastDone(at, 'check', 'verify', '2026-01-01T04:00:00Z');
  const third = unattended(at);
  expect(await third.said({ kind: 'job-begun', schedule: 'daily' })).toMatchObject({ reason: 'missed' });
  await third.said({ kind: 'job-ended', schedule: 'daily', outcome: 'done' });
  await third.said({ kind: 'job-ended', schedule: 'check', outcome: 'done' });
  expect(await third.stop()).toBe(0);
  expect(third.events.filter(({ kind }) => kind === 'job-begun')).toHaveLength(2);
  expect(webhook.kinds('daily')).toEqual([
    'success null',
    'success null',
    'failure job.missed',
    'recovery null',
    'success null',
  ]);
  await mail.got('tidemark main: works again: daily');

  // What can't be mended by waiting is told at once.
  const [snapshot = ''] = readdirSync(join(at.cwd, 'backups/sources/main/snapshots'));
  writeFileSync(join(at.cwd, 'backups/sources/main/snapshots', snapshot, 'data-0001.tar'), 'not what it was');
  lastDone(at, 'check', 'verify', '2026-01-01T04:00:00Z');
  const fourth = unattended(at);
  await fourth.said({ kind: 'job-failed', schedule: 'check' });
  await fourth.said({ kind: 'told' });
  expect(await fourth.stop()).toBe(0);
  expect(webhook.kinds('check').at(-1)).toBe('failure integrity.digest');
  const said = JSON.stringify([mail.mails, webhook.bodies, first.events, third.events]);
  for (const secret of ['hunter2', 'secret-path', new URL(source).password])
    expect(said).not.toContain(secret);
});

/** What a kill at each place leaves, and how often the job must run until it is done. */
const RUN: Readonly<Record<Of<'run'>, { readonly snapshots: number }>> = {
  'run.job-begun': { snapshots: 0 },
  'run.job-done': { snapshots: 1 },
};

test('kill -9 and SIGTERM in a job: noticed, and done as soon as it runs again', async () => {
  await using at = await place([DAILY.replace('retry: []', 'retry: [10ms, 10ms]')]);
  for (const [point, { snapshots }] of Object.entries(RUN)) {
    rmSync(join(at.cwd, 'backups'), { recursive: true, force: true });
    const armed = { ...at, env: { ...at.env, TIDEMARK_FAILPOINTS: `${point}=kill` } };
    const killed = unattended(armed, ['--no-capture']);
    expect((await killed.running).signal).toBe('SIGKILL');
    expect(await counted({ url: join(at.cwd, 'backups') })).toMatchObject({ snapshots });
    expect((await status(at)).schedules).toMatchObject([{ last: { outcome: 'begun' } }]);
    const again = unattended(at, ['--no-capture']);
    await again.said({ kind: 'job-killed' });
    expect(await again.said({ kind: 'job-begun' })).toMatchObject({ reason: 'retry', attempt: 2 });
    await again.said({ kind: 'job-ended', outcome: 'done' });
    expect(await again.stop()).toBe(0);
  }
  const pausing = { ...at, env: { ...at.env, TIDEMARK_FAILPOINTS: 'snapshot.copied=pause' } };
  rmSync(join(at.cwd, 'backups'), { recursive: true, force: true });
  const stopped = unattended(pausing, ['--no-capture']);
  await reached(stopped.running, 'snapshot.copied');
  expect(await stopped.stop()).toBe(0);
  expect(stopped.events.at(-1)).toMatchObject({ msg: 'stopped' });
  expect(await counted({ url: join(at.cwd, 'backups') })).toMatchObject({ snapshots: 0 });
  expect(documents(at, 'daily')).toMatchObject([{ attempt: 1 }, { outcome: 'interrupted' }]);
  const sessions = `SELECT FROM pg_stat_activity WHERE application_name ~ '^tidemark snapshot'`;
  await until(async () => (await rows(server.url(), sessions)).length === 0);
  const after = unattended(at, ['--no-capture']);
  await after.said({ kind: 'job-ended', outcome: 'done' });
  expect(await after.stop()).toBe(0);
});

test('a kill counts: when no attempt is left, it is told by whoever comes next, and left until it is due', async () => {
  const subject = 'hourly';
  const schedule = `{ name: ${subject}, cron: "0 2 * * *", job: snapshot, retry: [] }`;
  await using at = await place([schedule], [`notify: [ { webhook: "${webhook.url}" } ]`]);
  const armed = { ...at, env: { ...at.env, TIDEMARK_FAILPOINTS: 'run.job-begun=kill' } };
  expect((await unattended(armed, ['--no-capture']).running).signal).toBe('SIGKILL');
  const next = unattended(at, ['--no-capture']);
  await next.said({ kind: 'told' });
  await next.said({ kind: 'job-next' });
  expect(await next.stop()).toBe(0);
  expect(next.events.some(({ kind }) => kind === 'job-begun')).toBe(false);
  expect(webhook.kinds(subject)).toEqual(['failure job.killed']);
});

test('a failure is tried again, then told once; who can’t be told is in the status; a new start tries at once', async () => {
  const subject = 'nightly';
  const schedule = `{ name: ${subject}, cron: "0 2 * * *", job: snapshot, retry: [10ms] }`;
  // Nobody listens on port 1.
  await using at = await place(
    [schedule],
    [`notify: [ { webhook: "${webhook.url}" }, { webhook: "http://127.0.0.1:1/secret-path" } ]`],
  );
  const url = at.env['DATABASE_URL'] ?? '';
  const broken = { ...at, env: { ...at.env, DATABASE_URL: url.replace(/test_\d+$/, 'nowhere') } };
  const failing = unattended(broken, ['--no-capture']);
  for (const attempt of [1, 2]) {
    await failing.said({ kind: 'job-begun', attempt });
    await failing.said({ kind: 'job-failed' });
  }
  await failing.said({ kind: 'told' });
  expect(webhook.kinds(subject)).toEqual(['failure source.no_database']);
  expect(await failing.stop()).toBe(0);
  await failing.said({ kind: 'not-told', target: 'webhook 127.0.0.1:1' });
  const now = await status(at);
  expect(now.findings.map(({ check }) => check)).toEqual(
    expect.arrayContaining(['status.schedule', 'status.notify']),
  );
  expect(now.schedules).toMatchObject([{ last: { outcome: 'failed', code: 'source.no_database' } }]);

  // Again within six hours: tried, not told.
  const second = unattended(broken, ['--no-capture']);
  await second.said({ kind: 'job-failed' });
  await second.stop();
  expect(webhook.kinds(subject)).toHaveLength(1);
  const mended = unattended(at, ['--no-capture']);
  await mended.said({ kind: 'job-ended', outcome: 'done' });
  await mended.stop();
  expect(webhook.kinds(subject)).toEqual(['failure source.no_database', 'recovery null']);
  expect(await tidemark(['alert', '--test'], at)).toMatchObject({ exitCode: 1 });
});

test('without a set-up source capture is tried again and told of; the snapshot is taken all the same', async () => {
  await using at = await place([DAILY], [`notify: [ { webhook: "${webhook.url}" } ]`]);
  await tidemarkJson(['init'], at);
  const run = unattended(at);
  expect(await run.said({ kind: 'capture-ended' })).toMatchObject({
    failure: { code: 'source.not_set_up' },
  });
  await run.said({ kind: 'job-ended', schedule: 'daily', outcome: 'done' });
  await tidemarkJson(['init', '--capture'], at);
  await run.said({ kind: 'streaming' });
  await until(() => webhook.kinds('capture').length === 2);
  expect(await run.stop()).toBe(0);
  expect(webhook.kinds('capture')).toEqual(['failure source.not_set_up', 'recovery null']);
});
