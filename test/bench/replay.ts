// Replay against PostgreSQL's own apply: the same changes onto the same rows, in databases of one server.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { initCapture } from '../support/capture.ts';
import { catchUp } from '../support/capturing.ts';
import { newDatabase, rows, session, sql } from '../support/postgres.ts';
import { until } from '../support/until.ts';
import { measure, print, report, watchProcess, withServers } from './measure.ts';
import type { Measured } from './measure.ts';

/** One load: what the target holds before, and what is done then. */
interface Load {
  readonly title: string;
  readonly schema: string;
  readonly rows: string;
  readonly changes: string;
  readonly count: number;
  readonly unit: string;
}

interface Servers {
  readonly source: ThrowawayServer;
  readonly target: ThrowawayServer;
  readonly folder: string;
  readonly rounds: number;
}

/** Keys alone, as a restore has them while changes are applied: it makes the other indexes afterwards. */
const ITEMS = `CREATE TABLE items (id bigint PRIMARY KEY, batch int, name text, amount numeric, at timestamptz)`;
const NEW_ROW = `SELECT n, n % 1000, 'item number ' || n, n * 1.25, timestamptz '2026-01-01' + n * interval '1 s'`;

/** TPC-B as pgbench makes it: a few rows are changed all the time. */
const ACCOUNTS = `CREATE TABLE accounts (aid int PRIMARY KEY, bid int, balance int, filler char(84));
  CREATE TABLE tellers (tid int PRIMARY KEY, bid int, balance int, filler char(84));
  CREATE TABLE branches (bid int PRIMARY KEY, balance int, filler char(88));
  CREATE TABLE history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))`;

function loads(scale: number): Load[] {
  const inserted = Math.round(1_000_000 * scale);
  const updated = Math.round(300_000 * scale);
  const single = Math.round(150_000 * scale);
  const bulk = {
    rows: '',
    changes: loop(
      inserted / 100_000,
      `INSERT INTO items ${NEW_ROW} FROM generate_series(i * 100000, i * 100000 + 99999) n`,
    ),
    count: Math.ceil(inserted / 100_000) * 100_000,
    unit: 'rows/s',
  };
  return [
    { ...bulk, title: 'bulk insert, 100,000 rows a transaction', schema: ITEMS },
    {
      ...bulk,
      title: 'the same, with an index besides the key',
      schema: `${ITEMS}; CREATE INDEX ON items (batch)`,
    },
    {
      title: 'updates by key, 100 at random a transaction',
      schema: ITEMS,
      rows: `INSERT INTO items ${NEW_ROW} FROM generate_series(0, 199999) n`,
      changes: loop(
        updated / 100,
        `FOR j IN 1..100 LOOP UPDATE items SET amount = amount + 1, at = clock_timestamp() WHERE id = (SELECT floor(random() * 200000)::bigint); END LOOP`,
      ),
      count: Math.ceil(updated / 100) * 100,
      unit: 'rows/s',
    },
    {
      title: 'one-row transactions',
      schema: ITEMS,
      rows: '',
      changes: loop(single, `INSERT INTO items ${NEW_ROW} FROM (SELECT i AS n) AS one`),
      count: single,
      unit: 'transactions/s',
    },
    {
      title: 'TPC-B: four changes a transaction, ten tellers and one branch',
      schema: ACCOUNTS,
      rows: `INSERT INTO accounts SELECT n, 1, 0, '' FROM generate_series(1, 100000) n;
        INSERT INTO tellers SELECT n, 1, 0, '' FROM generate_series(1, 10) n; INSERT INTO branches VALUES (1, 0, '')`,
      changes: loop(
        single / 3,
        `UPDATE accounts SET balance = balance + i WHERE aid = (SELECT 1 + floor(random() * 100000)::int);
         UPDATE tellers SET balance = balance + i WHERE tid = 1 + i % 10;
         UPDATE branches SET balance = balance + i WHERE bid = 1;
         INSERT INTO history VALUES (1 + i % 10, 1, i, i, now(), '')`,
      ),
      count: Math.ceil(single / 3),
      unit: 'transactions/s',
    },
  ];
}

/** A transaction for each turn. */
function loop(times: number, body: string): string {
  return `DO $$ BEGIN FOR i IN 1..${Math.ceil(times)} LOOP ${body}; COMMIT; END LOOP; END $$`;
}

export async function replays(servers: Servers, scale: number): Promise<void> {
  const settings = 'fsync off, synchronous_commit off: the same server, and the same for both';
  print(`\nreplay: from a folder, against decoding and apply of a subscription; ${settings}`);
  for (const load of loads(scale)) await replayOf(servers, load);
}

async function replayOf(servers: Servers, load: Load): Promise<void> {
  const { source, target, folder, rounds } = servers;
  const url = await newDatabase(source);
  const base = await newDatabase(target);
  await sql(url, `${load.schema}; CREATE TABLE done (id int PRIMARY KEY)`);
  await sql(base, `${load.schema}; CREATE TABLE done (id int PRIMARY KEY)`);
  // Random values are none here, so both get the same rows.
  for (const one of [url, base]) if (load.rows !== '') await sql(one, load.rows);
  await sql(base, 'VACUUM ANALYZE');
  const database = new URL(url).pathname.slice(1);
  const slot = `native_${database}`;
  const repository = join(folder, database);
  await initCapture(url, repository);
  const tables = await rows<{ name: string }>(
    url,
    "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
  );
  await sql(url, `CREATE PUBLICATION native FOR TABLE ${tables.map(({ name }) => name).join(', ')}`);
  // Tables without a key are inserted into only, as capture has it.
  await sql(url, `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
  await sql(url, load.changes);
  await sql(url, 'INSERT INTO done VALUES (1)');
  await catchUp(url, repository);
  let round = 0;
  const results = await measure(
    {
      tidemark: async () => {
        const to = await copyOf(target, base);
        const measured = await withServers([target], () => ours(repository, to));
        await sameRows(url, to, tables);
        await sql(target.url(), `DROP DATABASE ${nameOf(to)}`);
        return measured;
      },
      'native apply': async () => {
        const to = await copyOf(target, base);
        const ownSlot = `${slot}_${(round += 1)}`;
        await sql(url, `SELECT pg_copy_logical_replication_slot('${slot}', '${ownSlot}')`);
        const how = { from: url, to, slot: ownSlot, server: source };
        const measured = await withServers([source, target], () => native(how));
        await sql(target.url(), `DROP DATABASE ${nameOf(to)}`);
        return measured;
      },
    },
    rounds,
  );
  report(load.title, 'tidemark', results, load);
  await sql(url, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots`);
}

async function ours(repository: string, to: string): Promise<Measured> {
  const script = fileURLToPath(new URL('replay-alone.ts', import.meta.url));
  const child = execa(process.execPath, ['--max-semi-space-size=1', script, repository, to]);
  const watched = watchProcess(child.pid);
  const { stdout } = await child;
  const { milliseconds } = JSON.parse(stdout) as { milliseconds: number };
  return { milliseconds, ...watched.end() };
}

async function native(how: {
  readonly from: string;
  readonly to: string;
  readonly slot: string;
  readonly server: ThrowawayServer;
}): Promise<Measured> {
  const { port, password } = how.server;
  await using connection = await session(how.to);
  await connection.execute(
    `CREATE SUBSCRIPTION native CONNECTION 'host=127.0.0.1 port=${port} dbname=${nameOf(how.from)} user=postgres password=${password}'
       PUBLICATION native WITH (copy_data = false, create_slot = false, enabled = false, slot_name = '${how.slot}')`,
  );
  const started = performance.now();
  await connection.execute('ALTER SUBSCRIPTION native ENABLE');
  await until(async () => (await connection.query('SELECT FROM done')).length > 0);
  const milliseconds = performance.now() - started;
  await connection.execute('DROP SUBSCRIPTION native');
  return { milliseconds };
}

/** A rate of wrong rows is none. */
async function sameRows(a: string, b: string, tables: readonly { readonly name: string }[]): Promise<void> {
  for (const { name } of tables) {
    const text = `SELECT count(*)::text || sum(hashtext(t::text))::text AS digest FROM ${name} t`;
    const [[one], [other]] = await Promise.all([
      rows<{ digest: string }>(a, text),
      rows<{ digest: string }>(b, text),
    ]);
    if (one?.digest !== other?.digest) throw new Error(`${name} is not the source's`);
  }
}

async function copyOf(server: ThrowawayServer, base: string): Promise<string> {
  const copy = await newDatabase(server);
  await sql(server.url(), `DROP DATABASE ${nameOf(copy)}`);
  await sql(server.url(), `CREATE DATABASE ${nameOf(copy)} TEMPLATE ${nameOf(base)} STRATEGY file_copy`);
  return copy;
}

function nameOf(url: string): string {
  return new URL(url).pathname.slice(1);
}
