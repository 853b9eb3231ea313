// Capture broken on purpose: killed at every step, with stores and networks that fail; each commit stands once all the same.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture, namesOf } from '../support/capture.ts';
import {
  AN_HOUR_LATER,
  EXACT,
  exactness,
  LEDGER,
  capture,
  captured,
  catchUp,
  committed,
  confirmed,
  load,
} from '../support/capturing.ts';
import type { Of } from '../support/failpoints.ts';
import { faultProxy } from '../support/fault-proxy.ts';
import { newDatabase, sql, testServer } from '../support/postgres.ts';
import { startS3 } from '../support/s3.ts';
import { storedStreams, storedWords } from '../support/stored-stream.ts';
import { tcpProxy } from '../support/tcp-proxy.ts';
import { start, temporaryFolder, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

let server: ThrowawayServer;
beforeAll(async () => {
  server = await testServer(17, { max_replication_slots: '30', max_wal_senders: '30' });
});
afterAll(() => server[Symbol.asyncDispose]());

async function prepared(): Promise<{ url: string; path: string } & AsyncDisposable> {
  const folder = await temporaryFolder();
  const url = await newDatabase(server);
  await sql(url, LEDGER);
  await initCapture(url, folder.path);
  return { url, path: folder.path, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

interface Case {
  /** What makes capture come by, before it is started. */
  readonly before?: (url: string, path: string) => Promise<void>;
  readonly times: readonly number[];
  readonly env?: Readonly<Record<string, string>>;
  /** A stream ended there: what was committed in between is not stored, and a gap says so. */
  readonly gap?: true;
}

/** 70 MB in one transaction: two parts at least. */
const large = (url: string): Promise<void> =>
  sql(
    url,
    `INSERT INTO ledger (note) SELECT string_agg(md5(g::text || i::text), '') FROM generate_series(1, 17000) g, generate_series(1, 128) i GROUP BY g`,
  );
const dropSlot = async (url: string, path: string): Promise<void> => {
  await catchUp(url, path);
  await sql(url, `SELECT pg_drop_replication_slot('${(await namesOf(path)).slot}')`);
};

const POINTS: Readonly<Record<Of<'capture'>, Case>> = {
  'capture.stream-created': { times: [1] },
  'capture.gap-recorded': { times: [1], before: dropSlot, gap: true },
  'capture.slot-dropped': { times: [1], before: dropSlot, gap: true },
  'capture.admitted': { times: [1] },
  'capture.started': { times: [1] },
  'capture.table-gaps-stored': { times: [1] },
  'capture.beat-uncommitted': { times: [1] },
  'capture.beat-committed': { times: [1] },
  'capture.run-packed': { times: [1, 3] },
  'capture.part-stored': { times: [1, 2], before: large },
  'capture.segment-stored': { times: [1, 3] },
  'capture.confirmed': { times: [1, 3] },
  'capture.chapter-stored': { times: [1], env: AN_HOUR_LATER },
};

test.for(Object.entries(POINTS).flatMap(([point, { times }]) => times.map((time) => [point, time] as const)))(
  'I 3, I 10, I 11: kill -9 at %s, time %i, under load: each commit once',
  async ([point, time]) => {
    const { before, gap, env } = POINTS[point as keyof typeof POINTS];
    await using at = await prepared();
    await before?.(at.url, at.path);
    const work = load(at.url, 2);
    const args = ['capture', '--url', at.url, '--repository', at.path, '--flush', '100ms'];
    const { signal, stderr } = await start(args, {
      env: { ...env, TIDEMARK_FAILPOINTS: `${point}=kill@${time}` },
    });
    await work.end();
    expect({ signal, stderr }).toMatchObject({ signal: 'SIGKILL' });
    const streams = await storedStreams({ url: at.path });
    const last = streams.at(-1);
    if (last !== undefined) expect((await confirmed(at.url, at.path)) ?? 0n).toBeLessThanOrEqual(last.to);
    const lost = gap ? await committed(at.url) : [];
    await catchUp(at.url, at.path);
    await sql(at.url, 'INSERT INTO ledger DEFAULT VALUES');
    await catchUp(at.url, at.path);
    if (gap === undefined) {
      expect(await exactness(at.url, at.path)).toEqual(EXACT);
      return;
    }
    const { ids } = await captured({ url: at.path });
    expect(new Set(ids).size).toBe(ids.length);
    expect((await committed(at.url)).filter((id) => !ids.includes(id) && !lost.includes(id))).toEqual([]);
    expect((await storedWords({ url: at.path })).gaps).toMatchObject([{ reason: 'slot-dropped' }]);
  },
);

test('killed again and again, each time after its first heartbeat is stored: a snapshot taken meanwhile becomes usable', async () => {
  await using at = await prepared();
  const common = ['--url', at.url, '--repository', at.path];
  const work = load(at.url, 1);
  const beats = async (): Promise<number> =>
    (await storedStreams({ url: at.path })).flatMap(({ runs }) =>
      runs.flatMap(({ heartbeats }) => heartbeats),
    ).length;
  let use: string | undefined;
  for (let round = 1; use !== 'usable' && round <= 4; round += 1) {
    const before = await beats();
    // Only what can't wait is stored within an hour.
    const run = capture(at.url, at.path, ['--flush', '60min']);
    await until(async () => (await beats()) > before);
    await run.stop('SIGKILL');
    if (round === 1) await tidemarkJson(['snapshot', ...common]);
    const { snapshots } = await tidemarkJson(['list', ...common]);
    use = (snapshots as { use: string }[])[0]?.use;
  }
  await work.end();
  expect(use).toBe('usable');
});

test('I 3: a store that answers 503, drops answers and goes away: nothing is lost, and nothing confirmed that is not stored', async () => {
  await using s3 = await startS3();
  await using proxy = await faultProxy(s3.endpoint);
  const bucket = await s3.newBucket();
  const env = { AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey };
  const repository = `s3://${bucket}?endpoint=${proxy.url}`;
  const stored = { url: `s3://${bucket}`, ...s3 };
  const url = await newDatabase(server);
  await sql(url, LEDGER);
  await tidemarkJson(['init', '--capture', '--url', url, '--repository', repository], { env });
  const work = load(url, 2);
  const run = capture(url, repository, [], env);
  await run.said('streaming');
  for (const kind of ['answer', 'drop-answer', 'refuse'] as const) {
    let broken = 0;
    proxy.fault = ({ method }) => {
      if (method !== 'PUT' || broken > 2) return { kind: 'pass' };
      broken += 1;
      return kind === 'answer' ? { kind, status: 503, code: 'SlowDown' } : { kind };
    };
    await until(() => broken > 2);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  await work.end();
  await run.stop('SIGKILL');
  proxy.fault = () => ({ kind: 'pass' });
  const last = capture(url, repository, [], env);
  await last.said('streaming');
  const expected = await committed(url);
  await until(async () => (await captured(stored)).ids.length >= expected.length);
  await last.stop();
  const { ids, streams } = await captured(stored);
  expect(ids).toEqual(expected);
  expect(streams.map(({ pieces }) => pieces)).toEqual([1]);
});

test('I 8: a network that goes silent is noticed, and one that resets is left: capture goes on by itself', async () => {
  await using at = await prepared();
  const work = load(at.url, 1);
  const proxied = async (silent: boolean): Promise<void> => {
    await using proxy = await tcpProxy(server.port);
    const near = new URL(at.url);
    near.port = String(proxy.port);
    near.searchParams.set('tcp_user_timeout', '3000');
    const run = capture(near.toString(), at.path);
    await run.said('streaming');
    await new Promise((resolve) => setTimeout(resolve, 500));
    if (silent) proxy.silence();
    else await proxy[Symbol.asyncDispose]();
    const { failure } = await run.said('lost');
    expect(failure).toMatchObject({ code: expect.stringMatching(/^source\./) as unknown });
    await run.stop();
  };
  await proxied(true);
  await proxied(false);
  await work.end();
  await catchUp(at.url, at.path);
  expect(await exactness(at.url, at.path)).toEqual(EXACT);
});
