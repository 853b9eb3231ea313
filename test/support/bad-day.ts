import { expect } from 'vitest';
import { parseLsn } from '../../src/model/lsn.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture } from './capture.ts';
import type { Capturing } from './capturing.ts';
import { LEDGER, capture, captured as ledgerOf, catchUp, position } from './capturing.ts';
import { absentDatabase, newDatabase, rows, sql, stockDump } from './postgres.ts';
import { expectSamePoint } from './same-point.ts';
import { storedStreams, storedWords } from './stored-stream.ts';
import { temporaryFolder, tidemark, tidemarkJson } from './tidemark.ts';
import { until } from './until.ts';

/** Without what capture keeps on the source. */
const DATA = ['--data-only', '--exclude-schema=tidemark'];

/** One pg_dump for servers of all majors: what it says of them is compared. */
const NEWEST = 18;

/** A moment at which nothing was under way, and what stock pg_dump said of it. */
interface Moment {
  readonly time: string;
  readonly truth: string;
}

/** A source that was captured, with a snapshot and changes behind it: up to `before` it can be restored. */
export interface Company extends AsyncDisposable {
  readonly url: string;
  readonly path: string;
  readonly before: Moment;
}

export async function captured(server: ThrowawayServer, more: readonly string[] = []): Promise<Company> {
  const folder = await temporaryFolder();
  const { path } = folder;
  const url = await newDatabase(server);
  await sql(url, `${LEDGER}; INSERT INTO ledger (note) VALUES ('first')`);
  await initCapture(url, path, more);
  const run = capture(url, path);
  // Until there is a stream, a snapshot has none to be tied to.
  await until(async () => (await ledgerOf({ url: path })).streams[0]?.transactions.length === 1);
  await tidemarkJson(['snapshot', '--url', url, '--repository', path]);
  await sql(
    url,
    `INSERT INTO ledger (note) VALUES ('second'); UPDATE ledger SET note = 'changed' WHERE id = 1`,
  );
  await stored(path, '2');
  const before = await moment(url);
  // A time is reached only once a later commit is stored.
  await sql(url, `INSERT INTO ledger (note) VALUES ('third')`);
  await stored(path, '3');
  expect((await run.stop()).exitCode).toBe(0);
  return { url, path, before, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

/** A time is found to a run: what follows is in another one. */
async function stored(path: string, id: string): Promise<void> {
  await until(async () => (await ledgerOf({ url: path })).ids.includes(id));
}

/** Captures all that is committed by now, and a heartbeat behind it: up to there the publications were in order. */
export async function beaten(url: string, path: string): Promise<void> {
  const now = parseLsn(await position(url)) ?? 0n;
  const run = capture(url, path);
  await run.said('streaming');
  await until(async () => {
    const streams = await storedStreams({ url: path });
    const beats = streams.at(-1)?.runs.flatMap((facts) => facts.heartbeats) ?? [];
    return beats.some((beat) => (parseLsn(beat.position) ?? 0n) >= now);
  });
  expect((await run.stop()).exitCode).toBe(0);
}

/** Now, apart from the commits on both sides. */
export async function moment(url: string): Promise<Moment> {
  const [now] = await rows<{ time: string }>(
    url,
    `SELECT pg_sleep(0.05)::text, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "time",
            pg_sleep(0.05)::text`,
  );
  return { time: now?.time ?? '', truth: await stockDump(url, NEWEST, DATA) };
}

/**
 * What follows a bad day without anyone's help but for the snapshot: capture records the gap and asks for a snapshot,
 * a new stream begins, and a snapshot makes it usable. What came before the gap and what comes after it are equal by
 * stock pg_dump once they are restored; `lost`, in the gap, is refused, and the nearest points on both sides are named. Answers with the
 * reasons of all gaps that are recorded.
 */
export async function overcome(
  server: ThrowawayServer,
  company: Pick<Company, 'url' | 'path' | 'before'>,
  day: {
    readonly lost: Moment;
    /** A capture that was there on the bad day, and goes on. */
    readonly run?: Capturing;
    /** One that is gone has recorded the gap. */
    readonly isRecorded?: true;
  },
): Promise<string[]> {
  const { url, path } = company;
  const run = day.run ?? capture(url, path);
  if (day.isRecorded !== true) {
    const { reason, gap } = await run.said('snapshot-wanted');
    expect(await run.said('gap')).toMatchObject({ gap: { id: gap, reason } });
  }
  let over = false;
  void run.running.then(() => (over = true));
  await until(() => {
    const kinds = run.events.map(({ kind }) => kind);
    return over || kinds.lastIndexOf('streaming') > kinds.indexOf('snapshot-wanted');
  });
  expect(over).toBe(false);
  await tidemarkJson(['snapshot', '--url', url, '--repository', path]);
  await sql(url, `INSERT INTO ledger (note) VALUES ('after'); UPDATE ledger SET note = 'anew' WHERE id = 2`);
  const [last] = await rows<{ id: string }>(url, 'SELECT max(id)::text AS "id" FROM ledger');
  await stored(path, last?.id ?? '');
  const after = await moment(url);
  await sql(url, `INSERT INTO ledger (note) VALUES ('last')`);
  expect((await run.stop()).exitCode).toBe(0);
  await catchUp(url, path);
  const { gaps } = await storedWords({ url: path });
  for (const { time, truth } of [company.before, after]) {
    const target = absentDatabase(server);
    await tidemarkJson(['restore', '--repository', path, '--to', time, '--target', target, '--create']);
    expectSamePoint(await stockDump(target, NEWEST, DATA), truth);
  }
  const refused = await tidemark([
    'restore',
    '--repository',
    path,
    '--to',
    day.lost.time,
    '--target',
    absentDatabase(server),
    '--create',
    '--json',
  ]);
  expect(refused.exitCode).toBe(5);
  expect(JSON.parse(refused.stdout)).toMatchObject({
    error: {
      code: 'recovery.no_point',
      facts: { before: expect.any(String) as unknown, after: expect.any(String) as unknown },
    },
  });
  return gaps.map((found) => found.reason);
}
