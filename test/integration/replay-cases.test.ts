import { afterAll, beforeAll, expect, test } from 'vitest';
import { Failure } from '../../src/model/failure.ts';
import { asLsn } from '../../src/model/lsn.ts';
import type { Lsn } from '../../src/model/lsn.ts';
import { applies, parseSnapshot } from '../../src/model/xid.ts';
import type { ReplayTie } from '../../src/model/xid.ts';
import { parseConnectionUrl } from '../../src/postgres/connection-settings.ts';
import type { ReplayReport, ReplayRequest } from '../../src/replay/request.ts';
import { openReplaySession } from '../../src/replay/session.ts';
import { silence, unsilence } from '../../src/replay/silence.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { newDatabase, rows, session, sql, testServer } from '../support/postgres.ts';
import { copyDatabase, createSlot, lsnOf, position, replayInto, takeStream } from '../support/replay.ts';
import type { StoredStream } from '../support/replay.ts';

let server: ThrowawayServer;

beforeAll(async () => {
  server = await testServer(18);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

interface Pair {
  readonly source: string;
  readonly target: string;
  readonly start: Lsn;
  readonly tie: ReplayTie;
}

/** A source with these tables and a copy of it; the slot starts between. */
async function pair(schema: string, databaseOptions = ''): Promise<Pair> {
  const source = await newDatabase(server, databaseOptions);
  const target = await newDatabase(server, databaseOptions);
  await sql(source, `${schema}; CREATE PUBLICATION p FOR ALL TABLES`);
  await using connection = await session(source);
  await connection.execute('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
  const start = await createSlot(connection);
  await copyDatabase(source, target, { serverMajor: 18 });
  return { source, target, start, tie: { kind: 'position', lsn: start } };
}

/** Runs statements on the source, each a transaction, and takes what it sent; the positions behind each. */
async function changes(
  { source, start }: Pair,
  statements: readonly string[],
): Promise<{ readonly stream: StoredStream; readonly behind: readonly Lsn[] }> {
  await using connection = await session(source);
  const behind: Lsn[] = [];
  for (const statement of statements) {
    await connection.execute(statement);
    behind.push(await position(connection));
  }
  return { stream: await takeStream(source, start), behind };
}

function replayed(
  { target, tie }: Pair,
  stream: StoredStream,
  request: Omit<Parameters<typeof replayInto>[2], 'tie'> = {},
): Promise<ReplayReport> {
  return replayInto(target, stream, { tie, ...request });
}

const before = (lsn: Lsn | undefined): Pick<ReplayRequest, 'stop'> => ({
  stop: { kind: 'lsn', lsn: lsn ?? asLsn(0n), exclusive: true },
});

const failure = async (promise: Promise<unknown>): Promise<Failure> => {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error('it did not fail');
};

const content = async (url: string, table: string): Promise<string[]> =>
  (await rows<{ row: string }>(url, `SELECT t::text AS "row" FROM ${table} t ORDER BY 1`)).map(
    ({ row }) => row,
  );

const TWO_TABLES = `CREATE TABLE keyed (id int PRIMARY KEY, v int); CREATE TABLE log (n int PRIMARY KEY);
  CREATE TABLE whole (v int, j json); ALTER TABLE whole REPLICA IDENTITY FULL;
  INSERT INTO keyed VALUES (1, 1), (2, 2); INSERT INTO whole VALUES (1, '1'), (2, '2')`;

test.for([
  ['keyed', 'UPDATE keyed SET v = 9 WHERE id = 2'],
  ['keyed', 'UPDATE keyed SET id = 5 WHERE id = 2'],
  ['keyed', 'DELETE FROM keyed WHERE id = 2'],
  ['whole', 'UPDATE whole SET v = 9 WHERE v = 2'],
  ['whole', 'DELETE FROM whole WHERE v = 2'],
] as const)(
  'I 32, P6: a row that the target lacks fails, nothing of its transaction stays: %s, %s',
  async ([table, statement]) => {
    const of = await pair(TWO_TABLES);
    const { stream, behind } = await changes(of, [
      'INSERT INTO log VALUES (1)',
      `BEGIN; INSERT INTO log VALUES (2); ${statement}; INSERT INTO log VALUES (3); COMMIT`,
    ]);
    await sql(of.target, `DELETE FROM ${table} WHERE v = 2`);
    await replayed(of, stream, before(behind[0]));
    const failed = await failure(replayed(of, stream));
    expect(failed).toMatchObject({ code: 'target.row_count', facts: { wanted: 1, touched: 0 } });
    expect(await content(of.target, 'log')).toEqual(['(1)']);
  },
);

test('I 32: a row that is there already fails as well', async () => {
  const of = await pair(TWO_TABLES);
  const { stream } = await changes(of, ['INSERT INTO keyed VALUES (7, 7)']);
  await sql(of.target, 'INSERT INTO keyed VALUES (7, 0)');
  expect((await failure(replayed(of, stream))).facts).toMatchObject({ sqlstate: '23505' });
});

test('I 32: so does one among many, by COPY', async () => {
  const of = await pair(TWO_TABLES);
  const { stream } = await changes(of, ['INSERT INTO keyed SELECT n, n FROM generate_series(10, 5000) n']);
  await sql(of.target, 'INSERT INTO keyed VALUES (4000, 0)');
  expect((await failure(replayed(of, stream))).facts).toMatchObject({ sqlstate: '23505' });
  expect(await content(of.target, 'keyed')).toHaveLength(3);
});

test('P5: each kind of target stops where it says, tells what came next, and goes on from there', async () => {
  const of = await pair('CREATE TABLE t (n int PRIMARY KEY)');
  const { stream } = await changes(of, [
    'INSERT INTO t VALUES (1)',
    "BEGIN; INSERT INTO t VALUES (2); SELECT pg_logical_emit_message(true, 'tidemark:mark', 'here'); COMMIT",
    'INSERT INTO t VALUES (3)',
    'INSERT INTO t VALUES (4)',
    "BEGIN; SELECT pg_logical_emit_message(true, 'tidemark:mark', 'rolled back'); ROLLBACK",
    "SELECT pg_logical_emit_message(false, 'tidemark:mark', 'of no transaction')",
    'INSERT INTO t VALUES (5)',
  ]);
  const first = await replayed(of, stream, { stop: { kind: 'mark', name: 'here' } });
  expect(await content(of.target, 't')).toEqual(['(1)', '(2)']);
  const next = first.firstNotApplied;
  if (next === undefined) throw new Error('nothing was next');
  expect(next.commitLsn).toBeGreaterThan(first.lastApplied?.commitLsn ?? 0n);
  const xid = BigInt(next.xid) + (5n << 32n);
  const second = await replayed(of, stream, { stop: { kind: 'xid', xid, exclusive: false } });
  expect(second).toMatchObject({ continued: true, changes: 1, lastApplied: next });
  expect(await content(of.target, 't')).toEqual(['(1)', '(2)', '(3)']);
  const third = await replayed(of, stream, {
    stop: { kind: 'time', time: second.firstNotApplied?.commitTime ?? 0n, exclusive: false },
  });
  expect(await content(of.target, 't')).toEqual(['(1)', '(2)', '(3)', '(4)']);
  // Back is no way to go.
  const back = await failure(replayed(of, stream, { stop: { kind: 'xid', xid, exclusive: true } }));
  expect(back.code).toBe('target.half_done');
  for (const name of ['rolled back', 'of no transaction', 'never'])
    expect((await failure(replayed(of, stream, { stop: { kind: 'mark', name } }))).code).toBe(
      'recovery.no_point',
    );
  const future = {
    kind: 'time',
    time: (third.firstNotApplied?.commitTime ?? 0n) + 60_000_000n,
    exclusive: false,
  } as const;
  expect((await failure(replayed(of, stream, { stop: future }))).code).toBe('recovery.no_point');
  expect(await content(of.target, 't')).toEqual(['(1)', '(2)', '(3)', '(4)']);
  await replayed(of, stream, { stop: future, reach: { position: stream.end, time: future.time + 1n } });
  expect(await content(of.target, 't')).toHaveLength(5);
  const early: ReplayTie = { kind: 'position', lsn: asLsn(stream.end + 8n) };
  expect((await failure(replayed({ ...of, tie: early }, stream, { id: 'early' }))).code).toBe(
    'recovery.no_point',
  );
});

test('some tables alone, each by its own tie; our own schema never', async () => {
  const of = await pair(
    'CREATE SCHEMA tidemark; CREATE TABLE tidemark.own (n int PRIMARY KEY); CREATE TABLE a (n int PRIMARY KEY); CREATE TABLE b (n int PRIMARY KEY); CREATE TABLE c (n int PRIMARY KEY)',
  );
  const all = (n: number): string =>
    `BEGIN; INSERT INTO a VALUES (${n}); INSERT INTO b VALUES (${n}); INSERT INTO c VALUES (${n}); INSERT INTO tidemark.own VALUES (${n}); COMMIT`;
  const { stream, behind } = await changes(of, [all(1), all(2), 'TRUNCATE a, c', all(3)]);
  await replayed(of, stream, {
    tieOf: ({ name }) => {
      if (name === 'c') return undefined;
      return name === 'b' ? { kind: 'position', lsn: behind[0] ?? of.start } : of.tie;
    },
  });
  expect(
    await Promise.all(['a', 'b', 'c', 'tidemark.own'].map((table) => content(of.target, table))),
  ).toEqual([['(3)'], ['(2)', '(3)'], [], []]);
});

test.for<[string, string, RegExp]>([
  ['a column of the source is new', 'ALTER TABLE t ADD w int', /has no column w/],
  [
    'a column of the source is gone',
    'ALTER TABLE t DROP n',
    /has a column n on the target that the changes lack/,
  ],
  ['another type', 'ALTER TABLE t ALTER v TYPE bigint', /column v of another type/],
  [
    'another scale, which would round silently',
    'ALTER TABLE t ALTER n TYPE numeric(9, 4)',
    /column n of another type/,
  ],
  [
    'another enum',
    "CREATE TYPE f AS ENUM ('x'); ALTER TABLE t ALTER m TYPE f USING 'x'",
    /column m of another type/,
  ],
  ['a renamed table', 'ALTER TABLE t RENAME TO t2', /does not exist on the target/],
  [
    'another identity',
    'CREATE UNIQUE INDEX i ON t (v); ALTER TABLE t ALTER v SET NOT NULL; ALTER TABLE t REPLICA IDENTITY USING INDEX i',
    /no unique index on the target/,
  ],
])('schema drift is a barrier: %s', async ([, statement, finding]) => {
  const of = await pair(
    "CREATE TYPE m AS ENUM ('x'); CREATE TABLE t (id int PRIMARY KEY, v int, n numeric(9, 2), m m)",
  );
  const insert = (id: number, table: string): string => `INSERT INTO ${table} (id, v) VALUES (${id}, ${id})`;
  const table = statement.includes('t2') ? 't2' : 't';
  const { stream } = await changes(of, [insert(1, 't'), statement, insert(2, table), insert(3, table)]);
  const failed = await failure(replayed(of, stream));
  expect(failed.code).toBe('target.drift');
  expect(failed.message).toMatch(finding);
  expect(await content(of.target, 't')).toEqual([]);
  const events: string[] = [];
  const report = await replayed(of, stream, {
    definitions: async (event, connection) => {
      events.push(event.kind);
      await connection.execute(`SET LOCAL search_path = public; ${statement}`);
      return undefined;
    },
  });
  expect(events).toEqual(['drift']);
  expect(report.changes).toBe(3);
  expect(await content(of.target, table)).toEqual(await content(of.source, table));
});

test('a message of our own about definitions comes in its place among the changes', async () => {
  const of = await pair('CREATE TABLE t (id int PRIMARY KEY)');
  const ddl = (text: string): string => `SELECT pg_logical_emit_message(true, 'tidemark:ddl', '${text}')`;
  const { stream } = await changes(of, [
    'INSERT INTO t VALUES (1)',
    `BEGIN; INSERT INTO t VALUES (2); ALTER TABLE t ADD v int DEFAULT 5; ${ddl('ALTER TABLE t ADD v int DEFAULT 5')}; INSERT INTO t VALUES (3, 3); COMMIT`,
  ]);
  await replayed(of, stream, {
    definitions: async (event, connection) => {
      if (event.kind !== 'message') throw new Error('drift');
      await connection.execute(`SET LOCAL search_path = public; ${event.content.toString()}`);
      return undefined;
    },
  });
  expect(await content(of.target, 't')).toEqual(['(1,5)', '(2,5)', '(3,3)']);
});

test('I 34: what fires in a replica is refused, or silenced and put back as it was', async () => {
  const of = await pair(`CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE audit (n int);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.audit VALUES (1); RETURN NEW; END $$;
    CREATE TRIGGER usual BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER always AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note(); ALTER TABLE t ENABLE ALWAYS TRIGGER always;
    CREATE TRIGGER replica AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note(); ALTER TABLE t ENABLE REPLICA TRIGGER replica;
    CREATE RULE always AS ON UPDATE TO t DO ALSO INSERT INTO audit VALUES (2); ALTER TABLE t ENABLE ALWAYS RULE always;
    CREATE FUNCTION event() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
    CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION event(); ALTER EVENT TRIGGER e ENABLE REPLICA`);
  await sql(of.source, 'ALTER TABLE t DISABLE TRIGGER ALL; ALTER TABLE t DISABLE RULE always');
  const { stream } = await changes(of, ['INSERT INTO t VALUES (1)', 'UPDATE t SET id = 2']);
  const refused = await failure(replayed(of, stream));
  expect(refused.code).toBe('target.blocked');
  expect(refused.facts['blockers']).toEqual(['trigger always', 'trigger replica', 'rule always']);
  const states = () =>
    rows(
      of.target,
      `SELECT tgname AS name, tgenabled AS enabled FROM pg_trigger WHERE NOT tgisinternal UNION ALL SELECT rulename, ev_enabled FROM pg_rewrite WHERE rulename = 'always'
       UNION ALL SELECT evtname, evtenabled FROM pg_event_trigger ORDER BY 1, 2`,
    );
  const asTheyWere = await states();
  await using connection = await session(of.target);
  expect(await silence(connection)).toHaveLength(4);
  expect(await silence(connection)).toEqual([]);
  await replayed(of, stream);
  expect(await content(of.target, 'audit')).toEqual([]);
  expect(await content(of.target, 't')).toEqual(['(2)']);
  expect(await states()).not.toEqual(asTheyWere);
  expect(await unsilence(connection)).toHaveLength(4);
  expect(await states()).toEqual(asTheyWere);
  expect(await unsilence(connection)).toEqual([]);
});

test('a role that may not be a replica is told; tables with triggers or foreign keys are refused to it', async () => {
  await sql(
    server.url(),
    "DO $$ BEGIN CREATE ROLE modest LOGIN PASSWORD 'm'; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
  );
  const of = await pair(
    'CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int); CREATE TABLE free (id int PRIMARY KEY); ALTER TABLE c ADD FOREIGN KEY (p) REFERENCES p',
  );
  await sql(
    of.target,
    'ALTER TABLE p OWNER TO modest; ALTER TABLE c OWNER TO modest; ALTER TABLE free OWNER TO modest; GRANT CREATE ON DATABASE ' +
      new URL(of.target).pathname.slice(1) +
      ' TO modest',
  );
  const modest = new URL(of.target);
  modest.username = 'modest';
  modest.password = 'm';
  const { stream, behind } = await changes(of, [
    'INSERT INTO free VALUES (1)',
    'INSERT INTO p VALUES (1)',
    'INSERT INTO c VALUES (1, 1)',
  ]);
  await using opened = await openReplaySession(parseConnectionUrl(modest.href, {}), {
    settings: {},
    encoding: 'UTF8',
    signal: new AbortController().signal,
  });
  expect(opened.mayBeReplica).toBe(false);
  await replayed({ ...of, target: modest.href }, stream, before(behind[0]));
  const refused = await failure(replayed({ ...of, target: modest.href }, stream));
  expect(refused.code).toBe('target.blocked');
  await sql(of.target, 'ALTER TABLE c DROP CONSTRAINT c_p_fkey');
  await replayed({ ...of, target: modest.href }, stream);
  expect(await content(of.target, 'c')).toEqual(['(1,1)']);
});

test('I 37: a database without encoding keeps its bytes', async () => {
  const of = await pair(
    'CREATE TABLE t (id bytea PRIMARY KEY, v text, w int)',
    "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
  );
  const bytes = (n: number): string =>
    `convert_from('\\x80ff5c09${n.toString(16).padStart(2, '0')}', 'SQL_ASCII')`;
  await sql(
    of.source,
    `ALTER DATABASE ${new URL(of.source).pathname.slice(1)} SET client_encoding = 'SQL_ASCII'`,
  );
  const statements = [
    `INSERT INTO t VALUES ('a', ${bytes(200)}), ('b', ${bytes(201)})`,
    `UPDATE t SET v = ${bytes(202)}, w = 1 WHERE id = 'a'`,
  ];
  await using connection = await session(of.source);
  await connection.execute("SET client_encoding = 'SQL_ASCII'");
  for (const statement of statements) await connection.execute(statement);
  const stream = await takeStream(of.source, of.start, { encoding: 'SQL_ASCII' });
  await replayed(of, stream, { encoding: 'SQL_ASCII' });
  const bytesOf = `(SELECT id, convert_to(v, 'SQL_ASCII'), w FROM t)`;
  expect(await content(of.target, bytesOf)).toEqual(await content(of.source, bytesOf));
});

test('keys whose types bring their own operators, in schemas that no path has; keys over time', async () => {
  const of =
    await pair(`CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext;
    CREATE DOMAIN name_domain AS ext.citext; CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TABLE people (name name_domain, m mood, h ext.hstore, n int, PRIMARY KEY (name, m));
    CREATE TABLE stays (room int4range, during daterange, guest text, PRIMARY KEY (room, during WITHOUT OVERLAPS));
    CREATE TABLE bits (b bit(3), a int[], t timestamptz, n int, PRIMARY KEY (b, a, t));
    INSERT INTO people SELECT 'Name' || n, 'ok', 'a=>1', n FROM generate_series(1, 200) n;
    INSERT INTO stays VALUES ('[1,1]', '[2026-01-01,2026-01-05)', 'x'), ('[1,1]', '[2026-01-05,2026-01-07)', 'y');
    INSERT INTO bits VALUES (B'101', '{1,NULL}', 'infinity', 1)`);
  const { stream } = await changes(of, [
    `UPDATE people SET h = '"b c"=>NULL, d=>"\\"q"', n = n + 1 WHERE n % 2 = 0`,
    "UPDATE people SET name = lower(name), m = 'sad' WHERE n % 3 = 0",
    'DELETE FROM people WHERE n % 5 = 0',
    "UPDATE stays SET guest = 'z' WHERE guest = 'y'",
    "DELETE FROM stays WHERE guest = 'x'",
    'UPDATE bits SET n = 2',
    "UPDATE bits SET a = '{}'",
  ]);
  await replayed(of, stream);
  for (const table of ['people', 'stays', 'bits'])
    expect(await content(of.target, table)).toEqual(await content(of.source, table));
});

test('I 47: unique values that wander between rows, in one transaction and across many', async () => {
  const of = await pair(
    'CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, v text); INSERT INTO t SELECT n, n FROM generate_series(1, 6) n',
  );
  const { stream } = await changes(of, [
    // At once the two trade places; the third run of updates takes what the second gave up.
    'BEGIN; UPDATE t SET u = -1 WHERE id = 1; UPDATE t SET u = 1 WHERE id = 2; UPDATE t SET u = 2 WHERE id = 1; COMMIT',
    'UPDATE t SET id = 13 WHERE id = 3',
    'UPDATE t SET u = 40 WHERE id = 4',
    'UPDATE t SET id = 15, u = 4 WHERE id = 5',
    'INSERT INTO t VALUES (5, 5)',
    'DELETE FROM t WHERE id = 6',
    'INSERT INTO t VALUES (7, 6)',
    "UPDATE t SET v = 'last'",
  ]);
  await replayed(of, stream);
  expect(await content(of.target, 't')).toEqual(await content(of.source, 't'));
});

test('I 47: unique values that all move up by one', async () => {
  const of = await pair(
    'CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE); INSERT INTO t SELECT n, n FROM generate_series(1, 20) n',
  );
  // From the top down each step is free. One statement for all that takes them by their keys meets the next one's.
  const database = new URL(of.target).pathname.slice(1);
  for (const plan of ['nestloop', 'hashjoin'])
    await sql(of.target, `ALTER DATABASE ${database} SET enable_${plan} = off`);
  const { stream } = await changes(of, [
    'DO $$ BEGIN FOR n IN REVERSE 20..1 LOOP UPDATE t SET u = n + 1 WHERE id = n; END LOOP; END $$',
  ]);
  await replayed(of, stream);
  expect(await content(of.target, 't')).toEqual(await content(of.source, 't'));
});

test('more columns than a function takes arguments, in a table without a key', async () => {
  const columns = Array.from({ length: 220 }, (_, n) => `c${n} text`).join(', ');
  const of = await pair(
    `CREATE TABLE wide (${columns}); ALTER TABLE wide REPLICA IDENTITY FULL; INSERT INTO wide (c0, c219) VALUES ('a', 'b'), ('a', 'b'), ('a', NULL)`,
  );
  const { stream } = await changes(of, [
    "UPDATE wide SET c100 = 'x' WHERE c219 IS NULL",
    "DELETE FROM wide WHERE ctid = (SELECT ctid FROM wide WHERE c219 = 'b' LIMIT 1)",
  ]);
  await replayed(of, stream);
  expect(await content(of.target, 'wide')).toEqual(await content(of.source, 'wide'));
  expect(await content(of.target, 'wide')).toHaveLength(2);
});

test('visible-in(S): what a later snapshot sees first, the rest afterwards', async () => {
  const of = await pair('CREATE TABLE t (n int PRIMARY KEY)');
  await using early = await session(of.source);
  await using source = await session(of.source);
  await early.execute('BEGIN; INSERT INTO t VALUES (1)');
  await source.execute('INSERT INTO t VALUES (2)');
  const [now] = await source.query<{ snapshot: string; upper: string }>(
    'SELECT pg_current_snapshot()::text AS "snapshot", pg_current_wal_insert_lsn()::text AS "upper"',
  );
  const snapshot = parseSnapshot(now?.snapshot ?? '');
  if (snapshot === undefined) throw new Error('no snapshot');
  const witness: ReplayTie = { kind: 'xid', snapshot, scanFrom: of.start, upper: lsnOf(now?.upper) };
  await early.execute('COMMIT');
  await source.execute('INSERT INTO t VALUES (3)');
  const stream = await takeStream(of.source, of.start);
  const stop = { kind: 'lsn', lsn: witness.upper, exclusive: true } as const;
  await replayed(of, stream, { id: 'seen', stop, only: (transaction) => !applies(transaction, witness) });
  expect(await content(of.target, 't')).toEqual(['(2)']);
  await replayed({ ...of, tie: witness }, stream, { id: 'rest' });
  expect(await content(of.target, 't')).toEqual(['(1)', '(2)', '(3)']);
});
