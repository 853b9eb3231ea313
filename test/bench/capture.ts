// Capture against pg_recvlogical: both drain slots that were made at the same position, with the same publications.
import { globSync } from 'node:fs';
import { cp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { readSegment, transactionsOf } from '../../src/archive/segment-reader.ts';
import { Heartbeat } from '../../src/capture/heartbeat.ts';
import { Beats } from '../../src/capture/own-messages.ts';
import { openRepository } from '../../src/catalog/repository.ts';
import { StreamView } from '../../src/catalog/stream-view.ts';
import { listStreams } from '../../src/catalog/streams.ts';
import { parseConnectionUrl } from '../../src/postgres/connection-settings.ts';
import { libpqEnvironment } from '../../src/postgres/libpq-environment.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { openStore } from '../../src/storage/open-store.ts';
import { initCapture, namesOf } from '../support/capture.ts';
import { capture, confirmed, position } from '../support/capturing.ts';
import { newDatabase, rows, session, sql } from '../support/postgres.ts';
import { until } from '../support/until.ts';
import { measure, median, print, quantile, report, sizeOf, watchProcess, withServers } from './measure.ts';
import type { Measured } from './measure.ts';

interface Options {
  readonly server: ThrowawayServer;
  readonly folder: string;
  readonly rounds: number;
  readonly scale: number;
  /** The large transaction, in GB. */
  readonly largeGb: number;
}

/** What has happened on a source since its slots were made, for many to drain. */
interface Waiting {
  readonly url: string;
  readonly repository: string;
  readonly names: Awaited<ReturnType<typeof namesOf>>;
  readonly end: string;
  readonly walBytes: number;
}

/** A slot at which nobody reads: slots to drain are copies of it. */
const BASE = 'bench_base';
const ITEMS =
  'CREATE TABLE items (id bigint PRIMARY KEY, batch int, name text, amount numeric, at timestamptz)';
const NEW_ROW = `SELECT n, n % 1000, 'item number ' || n, n * 1.25, timestamptz '2026-01-01' + n * interval '1 s'`;

export async function captures(options: Options): Promise<void> {
  const { scale } = options;
  await drained(options, {
    title: 'bulk insert, 100,000 rows a transaction',
    schema: ITEMS,
    changes: loop(
      20 * scale,
      `INSERT INTO items ${NEW_ROW} FROM generate_series(i * 100000, i * 100000 + 99999) n`,
    ),
  });
  await drained(options, {
    title: 'one-row transactions',
    schema: ITEMS,
    changes: loop(300_000 * scale, `INSERT INTO items ${NEW_ROW} FROM (SELECT i AS n) AS one`),
  });
  await drained(options, {
    title: 'wide rows, 3 KB each',
    schema: `CREATE TABLE wide (id int PRIMARY KEY, ${wide((n) => `c${n} text`)})`,
    changes: loop(
      100 * scale,
      `INSERT INTO wide SELECT i * 1000 + n, ${wide((n) => `repeat(md5((n * ${n})::text), 3)`)} FROM generate_series(0, 999) n`,
    ),
  });
  await durability(options);
  await overhead(options);
  await large(options);
  await heartbeats(options);
}

function wide(column: (number: number) => string): string {
  return Array.from({ length: 30 }, (_, place) => column(place + 1)).join(', ');
}

/** A transaction for each turn. */
function loop(times: number, body: string): string {
  return `DO $$ BEGIN FOR i IN 1..${Math.ceil(times)} LOOP ${body}; COMMIT; END LOOP; END $$`;
}

async function drained(
  options: Options,
  load: { readonly title: string; readonly schema: string; readonly changes: string },
): Promise<void> {
  const { server, folder, rounds } = options;
  const waiting = await prepare(options, load);
  const startUps: number[] = [];
  const file = join(folder, 'recvlogical');
  let stored = '';
  let round = 0;
  const results = await measure(
    {
      tidemark: async () => {
        if (stored !== '') await rm(stored, { recursive: true });
        stored = `${waiting.repository}-${(round += 1)}`;
        const { startUp, ...measured } = await drain(server, waiting, stored);
        startUps.push(startUp);
        return { ...measured, bytes: await sizeOf(stored) };
      },
      pg_recvlogical: async () => {
        const measured = await receive(server, waiting, file);
        return { ...measured, bytes: (await stat(file)).size };
      },
    },
    rounds,
  );
  const raw = (await stat(file)).size;
  const kept = await sizeOf(stored);
  await rm(file);
  report(load.title, 'tidemark', results, { count: raw / 1e6, unit: 'MB/s of pgoutput' });
  const share = await transactionColumns(stored);
  print(
    `\ntidemark's time is from the first message to its end; its start took ${(median(startUps) / 1000).toFixed(1)} s more. Stored: ${percent(kept, raw)} of pgoutput's bytes, ${percent(kept, waiting.walBytes)} of the WAL (${(waiting.walBytes / 1e6).toFixed(0)} MB); transaction columns are ${percent(share, 1)} of it`,
  );
  await dropSlots(server);
}

async function prepare(
  { server, folder }: Options,
  load: { readonly schema: string; readonly changes: string },
): Promise<Waiting> {
  const url = await newDatabase(server);
  await sql(url, load.schema);
  const repository = join(folder, new URL(url).pathname.slice(1));
  await initCapture(url, repository);
  const names = await namesOf(repository);
  await sql(url, `SELECT pg_copy_logical_replication_slot('${names.slot}', '${BASE}')`);
  const before = await position(url);
  await sql(url, load.changes);
  const end = await position(url);
  const [wal] = await rows<{ bytes: string }>(
    url,
    `SELECT ('${end}'::pg_lsn - '${before}')::text AS "bytes"`,
  );
  return { url, repository, names, end, walBytes: Number(wal?.bytes) };
}

/** Our slot, back at the beginning. */
async function rewind({ url, names }: Waiting): Promise<void> {
  await sql(
    url,
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '${names.slot}' AND NOT active`,
  );
  await sql(url, `SELECT pg_copy_logical_replication_slot('${BASE}', '${names.slot}')`);
}

async function drain(
  server: ThrowawayServer,
  waiting: Waiting,
  into: string,
): Promise<Measured & { readonly startUp: number }> {
  await rewind(waiting);
  await cp(waiting.repository, into, { recursive: true });
  let startUp = 0;
  const measured = await withServers([server], async () => {
    const started = performance.now();
    const run = capture(waiting.url, into, ['--flush', '500ms', '--until', waiting.end]);
    const watched = watchProcess(run.running.pid);
    await run.said('streaming');
    startUp = performance.now() - started;
    const { exitCode, stderr } = await run.running;
    if (exitCode !== 0) throw new Error(stderr);
    return { milliseconds: performance.now() - started - startUp, ...watched.end() };
  });
  return { ...measured, startUp };
}

async function receive(server: ThrowawayServer, waiting: Waiting, file: string): Promise<Measured> {
  const { url, names, end } = waiting;
  const slot = 'bench_received';
  const drain = ['--start', '--no-loop', '-S', slot, '-f', file, '--endpos', end];
  const plugin = ['proto_version=1', `publication_names="${names.rows}","${names.changes}"`, 'messages=true'];
  const args = [
    ...drain,
    ...plugin.flatMap((option) => ['-o', option]),
    '-d',
    new URL(url).pathname.slice(1),
  ];
  await sql(url, `SELECT pg_copy_logical_replication_slot('${BASE}', '${slot}')`);
  await rm(file, { force: true });
  const measured = await withServers([server], async () => {
    const started = performance.now();
    const child = execa(program('pg_recvlogical'), args, { env: environment(url), extendEnv: false });
    const watched = watchProcess(child.pid);
    await child;
    return { milliseconds: performance.now() - started, ...watched.end() };
  });
  await sql(url, `SELECT pg_drop_replication_slot('${slot}')`);
  return measured;
}

/** From commit to an object that is there for good, at a thousand transactions a second, with a flush of 2 s. */
async function durability({ server, folder, scale }: Options): Promise<void> {
  const url = await newDatabase(server);
  await sql(url, ITEMS);
  await sql(url, 'CREATE SEQUENCE item_id');
  const repository = join(folder, 'durability');
  await initCapture(url, repository);
  const run = capture(url, repository, ['--flush', '2s']);
  await run.said('streaming');
  const script = join(folder, 'insert.sql');
  await execa('tee', [script], {
    input: "INSERT INTO items VALUES (nextval('item_id'), 1, 'an item', 1.5, now());\n",
    stdout: 'ignore',
  });
  const seconds = Math.max(5, Math.round(30 * scale));
  const { tps } = await pgbench(url, ['-n', '-c', '4', '-R', '1000', '-T', String(seconds), '-f', script]);
  const end = await position(url);
  const [to] = await rows<{ lsn: string }>(url, `SELECT ('${end}'::pg_lsn - '0/0')::text AS "lsn"`);
  await until(async () => ((await confirmed(url, repository)) ?? 0n) >= BigInt(to?.lsn ?? 0));
  await run.stop();
  const waits: number[] = [];
  for await (const { path, run: stored, member } of members(repository)) {
    const found = await transactionsOf(member, stored, undefined);
    const durableAt = (await stat(path)).ctimeMs;
    for (const { commitTime } of found ?? [])
      waits.push(durableAt - (Date.UTC(2000, 0, 1) + Number(commitTime) / 1000));
  }
  const [p50, p99, most] = [0.5, 0.99, 1].map((part) => (quantile(waits, part) / 1000).toFixed(2));
  print(
    `\ncommit → durable, --flush 2s, ${tps.toFixed(0)} transactions/s for ${seconds} s: p50 ${p50} s, p99 ${p99} s, most ${most} s (${waits.length} transactions)`,
  );
  await dropSlots(server);
}

/** Transactions a second of TPC-B, with and without somebody who reads the changes on the same machine. */
async function overhead({ server, folder, rounds, scale }: Options): Promise<void> {
  const url = await newDatabase(server);
  await execa(program('pgbench'), ['-i', '-q', '-s', '10', new URL(url).pathname.slice(1)], {
    env: environment(url),
    extendEnv: false,
  });
  const repository = join(folder, 'overhead');
  await initCapture(url, repository);
  const seconds = Math.max(5, Math.round(15 * scale));
  const bench = (): Promise<{ tps: number }> => pgbench(url, ['-n', '-c', '4', '-T', String(seconds)]);
  const rates = { without: [] as number[], with: [] as number[] };
  for (let round = 0; round < rounds; round += 1) {
    rates.without.push((await bench()).tps);
    const run = capture(url, repository, ['--flush', '2s']);
    await run.said('streaming');
    rates.with.push((await bench()).tps);
    await run.stop();
  }
  const [alone, captured] = [median(rates.without), median(rates.with)];
  print(
    `\npgbench (TPC-B, scale 10, 4 clients, ${seconds} s, ${rounds} rounds): ${alone.toFixed(0)} tps without capture, ${captured.toFixed(0)} with capture on the same cores: ${(captured / alone).toFixed(2)}`,
  );
  await dropSlots(server);
}

/** Memory through one transaction that is far larger than it. */
async function large({ server, folder, scale, largeGb }: Options): Promise<void> {
  const megabytes = Math.round(1000 * largeGb * scale);
  const options = { server, folder };
  const waiting = await prepare(
    { ...options, rounds: 1, scale, largeGb },
    {
      schema: 'CREATE TABLE large (id int PRIMARY KEY, v text)',
      changes: `INSERT INTO large SELECT n, left(repeat(md5(n::text), 31), 980) FROM generate_series(1, ${megabytes * 1000}) n`,
    },
  );
  const into = `${waiting.repository}-large`;
  const { milliseconds, peakRss } = await drain(server, waiting, into);
  print(
    `\none transaction of ${megabytes} MB: ${(milliseconds / 1000).toFixed(1)} s, ${((1000 * megabytes) / milliseconds).toFixed(0)} MB/s, peak RSS ${((peakRss ?? 0) / 1e6).toFixed(0)} MB, stored ${((await sizeOf(into)) / 1e6).toFixed(0)} MB`,
  );
  await rm(into, { recursive: true });
  await dropSlots(server);
}

async function heartbeats({ server }: Options): Promise<void> {
  const url = await newDatabase(server);
  await using connection = await session(url);
  const heartbeat = new Heartbeat(new Beats());
  const beats = 200;
  const before = await position(url);
  for (let beat = 0; beat < beats; beat += 1) await heartbeat.beat(connection, beat * 5000, ['a'.repeat(32)]);
  const [wal] = await rows<{ bytes: number }>(
    url,
    `SELECT (('${await position(url)}'::pg_lsn - '${before}') / ${beats})::int AS "bytes"`,
  );
  const bytes = wal?.bytes ?? 0;
  print(
    `\na heartbeat writes ${bytes} bytes of WAL: ${((bytes * 17_280) / 1e6).toFixed(1)} MB a day where others commit (every 5 s), ${((bytes * 1440) / 1e6).toFixed(2)} MB where nobody does (every 60 s)`,
  );
}

async function pgbench(url: string, args: readonly string[]): Promise<{ readonly tps: number }> {
  const { stdout } = await execa(program('pgbench'), [...args, new URL(url).pathname.slice(1)], {
    env: environment(url),
    extendEnv: false,
  });
  return { tps: Number(/tps = ([\d.]+)/.exec(stdout)?.[1]) };
}

/** How much of what is stored are the columns that `log` reads. */
async function transactionColumns(repository: string): Promise<number> {
  let columns = 0;
  let all = 0;
  for await (const { member } of members(repository)) {
    all += member.bytes.length;
    if (member.facts.name.startsWith('transactions')) columns += member.bytes.length;
  }
  return columns / all;
}

async function* members(folder: string) {
  const { signal } = new AbortController();
  const store = await openStore({ url: folder });
  const repository = await openRepository(store, { signal, signer: undefined, trust: undefined });
  for (const stream of await listStreams(repository, { source: 'main', signal })) {
    const view = await StreamView.open(repository, { source: 'main', stream }, { signal });
    for (const entry of view.pieces.flat())
      for (const segment of await view.segmentsOf(entry)) {
        const body = await store.get(segment.key, { signal });
        for await (const run of readSegment(body, { ...segment, stream, trust: undefined }))
          for await (const member of run.members())
            yield { path: join(folder, segment.key), run: run.facts, member };
      }
  }
  await store.close();
}

async function dropSlots(server: ThrowawayServer): Promise<void> {
  const text = 'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active';
  await sql(server.url(), text);
}

/** Debian keeps them beside the server. */
function program(name: string): string {
  return globSync(`/usr/lib/postgresql/*/bin/${name}`).at(-1) ?? name;
}

function environment(url: string): Record<string, string> {
  return libpqEnvironment(parseConnectionUrl(url, {}), { job: 'bench' });
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)} %`;
}
