// Snapshots of a source under load, each judged transaction by transaction against what the server itself says is in it (P3).
import { setTimeout as delay } from 'node:timers/promises';
import type { Manifest } from '../../src/archive/manifest.ts';
import { Heartbeat } from '../../src/capture/heartbeat.ts';
import { Beats } from '../../src/capture/own-messages.ts';
import type { Beat } from '../../src/capture/own-messages.ts';
import { openRepository } from '../../src/catalog/repository.ts';
import { readManifest } from '../../src/catalog/snapshots.ts';
import { judgeIn, openHistory } from '../../src/catalog/source-history.ts';
import { parseSnapshot, applies } from '../../src/model/xid.ts';
import type { ReplayTie } from '../../src/model/xid.ts';
import { readRelations } from '../../src/postgres/inventory.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { lockAndExport } from '../../src/snapshot/keeper.ts';
import { openStore } from '../../src/storage/open-store.ts';
import { initCapture } from '../support/capture.ts';
import { capture, catchUp } from '../support/capturing.ts';
import { newDatabase, rows, session, sql } from '../support/postgres.ts';
import { lsnOf } from '../support/replay.ts';
import { storedStreams } from '../support/stored-stream.ts';
import type { StoredStream } from '../support/stored-stream.ts';
import { temporaryFolder, tidemarkJson } from '../support/tidemark.ts';
import { randomness } from '../support/workload.ts';

export interface SeamFigures {
  /** Taken, and tied to the stream. */
  readonly snapshots: number;
  /** A transaction in them was older than the stream's first heartbeat: rightly not used. */
  readonly refused: number;
  /** Committed, and in the stream. */
  readonly transactions: number;
  /** Judgements: a snapshot and a transaction each, by the product's bound and by the narrowest there could be. */
  readonly judged: number;
  /** Those that differ from the server's word. */
  readonly wrong: readonly string[];
  /** What a rule that only compares positions would have got wrong: the load is worth something. */
  readonly wrongByPosition: number;
  /** In no snapshot's way: committed on the source, and not in the stream once, or the other way round. */
  readonly astray: number;
}

/** A server on which commits can be slow, prepared, and wait for a standby that stalls. */
export const SEAM_SETTINGS = {
  fsync: 'on',
  max_prepared_transactions: '30',
  // A commit's record stands in the WAL for so long before it is flushed, and longer still before it is visible.
  commit_siblings: '0',
};

/** What one snapshot holds, as the server said within it. */
interface Taken {
  readonly visible: string;
  readonly upper: string;
  /** Transactions whose rows a query in the snapshot found; absent where the product took it and nobody looked. */
  readonly seen: ReadonlySet<number> | undefined;
}

/** Keeps all beats, not only those that wait. */
class AllBeats extends Beats {
  readonly all: Beat[] = [];

  override expect(nonce: string, beat: Beat): void {
    this.all.push(beat);
    super.expect(nonce, beat);
  }
}

const MINE = 'INSERT INTO seam (x) VALUES (pg_current_xact_id()::text::int8)';
const calm = new AbortController().signal;

/** Takes so many snapshots under load, and `whole` ones more by the command line, and judges them all. */
export async function seam(
  server: ThrowawayServer,
  options: { readonly snapshots: number; readonly whole: number; readonly seed: number },
): Promise<SeamFigures> {
  await using folder = await temporaryFolder();
  const url = await newDatabase(server);
  await sql(url, 'CREATE TABLE seam (id bigserial PRIMARY KEY, x int8, v text)');
  await initCapture(url, folder.path);
  const running = capture(url, folder.path);
  await running.said('streaming');
  const beats = new AllBeats();
  const load = startLoad(url, options.seed, beats);
  const taken: Taken[] = [];
  try {
    for (let left = options.whole; left > 0; left -= 1) {
      taken.push(...(await takeSome(url, options.snapshots / (options.whole + 1))));
      await tidemarkJson(['snapshot', '--url', url, '--repository', folder.path]);
    }
    taken.push(...(await takeSome(url, options.snapshots - taken.length)));
  } finally {
    await load.end();
  }
  await running.stop();
  await catchUp(url, folder.path);
  return await judge({ url, path: folder.path, taken, beats: beats.all });
}

/** As a snapshot's keeper does it; nothing is copied. */
async function takeSome(url: string, count: number): Promise<Taken[]> {
  const taken: Taken[] = [];
  await using keeper = await session(url);
  const relations = (await readRelations(keeper)).filter((relation) => relation.name === 'seam');
  while (taken.length < count) {
    const { visible, upper } = await lockAndExport(keeper, { relations, lockTimeoutMs: 5000 });
    const found = await keeper.query<{ x: string }>('SELECT DISTINCT x::text AS "x" FROM seam');
    await keeper.execute('ROLLBACK');
    taken.push({ visible, upper, seen: new Set(found.map(({ x }) => Number(x))) });
    await delay(80);
  }
  return taken;
}

/** Sessions of each kind that can make a commit's record and its visibility differ. */
function startLoad(url: string, seed: number, beats: Beats): { end(): Promise<void> } {
  let isOver = false;
  const loops = [
    ...[1, 2, 3].map((worker) => quick(url, seed + worker, worker)),
    ...[4, 5, 6].map((worker) => prepared(url, seed + worker, worker)),
    ...[7, 8].map((worker) => slow(url, seed + worker)),
    stalls(url, seed),
    beating(url, beats),
  ].map((each) => loop(each, () => isOver));
  return {
    end: async () => {
      isOver = true;
      await Promise.all(loops);
    },
  };
}

type Step = () => Promise<void>;
type Worker = (run: AsyncDisposableStack) => Promise<Step>;

async function loop(worker: Worker, isOver: () => boolean): Promise<void> {
  await using run = new AsyncDisposableStack();
  const step = await worker(run);
  while (!isOver()) await step();
}

const quick =
  (url: string, seed: number, worker: number): Worker =>
  async (run) => {
    const connection = run.use(await session(url));
    const random = randomness(seed);
    // One waits for the standby, one does not, one commits without waiting for the disk.
    const how = ['on', 'local', 'off'][worker % 3];
    await connection.execute(
      `SET synchronous_commit = ${how}; SET commit_delay = ${worker === 2 ? 20_000 : 0}`,
    );
    return async () => {
      const statements = ['BEGIN'];
      if (random.int(3) > 0) statements.push(MINE);
      for (let left = random.int(3); left > 0; left -= 1)
        statements.push('SAVEPOINT s', MINE, random.pick(['ROLLBACK TO s', 'RELEASE s', 'SAVEPOINT t']));
      if (statements.length === 1) statements.push(MINE);
      statements.push(random.int(8) === 0 ? 'ROLLBACK' : 'COMMIT');
      for (const statement of statements) await connection.execute(statement);
      await delay(random.int(12));
    };
  };

const prepared =
  (url: string, seed: number, worker: number): Worker =>
  async (run) => {
    const [one, other] = [run.use(await session(url)), run.use(await session(url))];
    const random = randomness(seed);
    let count = 0;
    return async () => {
      const name = `'seam_${worker}_${(count += 1)}'`;
      await one.execute(`BEGIN; ${MINE}; SAVEPOINT s; ${MINE}; PREPARE TRANSACTION ${name}`);
      await delay(random.int(random.int(3) === 0 ? 3000 : 300));
      await other.execute(`${random.int(5) === 0 ? 'ROLLBACK' : 'COMMIT'} PREPARED ${name}`);
    };
  };

const slow =
  (url: string, seed: number): Worker =>
  async (run) => {
    const connection = run.use(await session(url));
    const random = randomness(seed);
    return async () => {
      await connection.execute(`BEGIN; ${MINE}`);
      await delay(200 + random.int(1200));
      await connection.execute('COMMIT');
    };
  };

/** A synchronous standby that answers at times: commits stand in the WAL, and in the stream, and nobody sees them. */
const stalls =
  (url: string, seed: number): Worker =>
  async (run) => {
    const connection = run.use(await session(url));
    const random = randomness(seed);
    let count = 0;
    return async () => {
      await connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'stalled'");
      await connection.execute('SELECT pg_reload_conf()');
      // Now and then for so long that capture beats meanwhile, which waits for no standby.
      await delay((count += 1) % 16 === 3 ? 5500 : 200 + random.int(400));
      await connection.execute('ALTER SYSTEM RESET synchronous_standby_names');
      await connection.execute('SELECT pg_reload_conf()');
      await delay(200 + random.int(600));
    };
  };

/** Capture's own heartbeats, but far more often: the bounds that they give are as narrow as can be. */
const beating =
  (url: string, beats: Beats): Worker =>
  async (run) => {
    const connection = run.use(await session(url));
    const heartbeat = new Heartbeat(beats);
    return async () => {
      await heartbeat.beat(connection, 0, []);
      await delay(20);
    };
  };

async function judge(facts: {
  readonly url: string;
  readonly path: string;
  readonly taken: readonly Taken[];
  readonly beats: readonly Beat[];
}): Promise<SeamFigures> {
  const { url, path, beats } = facts;
  const store = await openStore({ url: path });
  const repository = await openRepository(store, { signer: undefined, trust: undefined, signal: calm });
  const history = await openHistory([repository], { source: 'main', signal: calm });
  const manifests: Manifest[] = [];
  for (const { id } of history.snapshots)
    manifests.push((await readManifest(repository, { source: 'main', id }, { signal: calm })).document);
  const [stream] = await storedStreams({ url: path });
  const [first] = manifests;
  if (stream === undefined || first === undefined) throw new Error('no stream, or no snapshot');
  const all = [
    ...facts.taken,
    ...manifests.flatMap(({ tie }) =>
      tie.kind === 'xid' ? [{ visible: tie.snapshot, upper: tie.upper, seen: undefined }] : [],
    ),
  ];
  const wrong: string[] = [];
  let [refused, judged, wrongByPosition] = [0, 0, 0];
  await using connection = await session(url);
  for (const one of all) {
    const tie = { kind: 'xid', stream: stream.id, snapshot: one.visible, upper: one.upper } as const;
    const use = await judgeIn(history, { tie, server: first.server });
    if (use.kind !== 'usable') {
      refused += 1;
      continue;
    }
    const snapshot = parseSnapshot(one.visible);
    if (snapshot === undefined || use.tie.kind !== 'xid') throw new Error(`no snapshot: ${one.visible}`);
    const { xmin } = snapshot;
    const narrow = beats.filter(({ xid }) => xid < xmin).reduce((a, b) => (a.xid > b.xid ? a : b), beats[0]!);
    const ties: Readonly<Record<string, ReplayTie>> = {
      product: use.tie,
      ...(narrow.xid < xmin && { narrow: { ...use.tie, scanFrom: narrow.position } }),
    };
    const visible = await visibleOf(connection, stream, one.visible);
    for (const [name, judgedBy] of Object.entries(ties)) {
      for (const transaction of stream.transactions) {
        const isIn = visible.has(transaction.xid);
        judged += 1;
        if (applies(transaction, judgedBy) === isIn)
          wrong.push(`${name}: ${transaction.xid} ${isIn ? 'doubled' : 'lost'} in ${one.visible}`);
      }
    }
    for (const transaction of stream.transactions) {
      if (one.seen === undefined || transaction.inserted['public.seam'] === undefined) continue;
      if (one.seen.has(transaction.xid) !== visible.has(transaction.xid))
        wrong.push(`rows of ${transaction.xid} in ${one.visible}`);
    }
    const upper = lsnOf(one.upper);
    wrongByPosition += stream.transactions.filter(
      ({ xid, commitLsn }) => commitLsn >= upper === visible.has(xid),
    ).length;
  }
  await store.close();
  const astray = await countAstray(url, stream);
  const transactions = stream.transactions.length;
  return { snapshots: all.length - refused, refused, transactions, judged, wrong, wrongByPosition, astray };
}

/** Which of the stream's transactions the server says that a snapshot sees. Its first epoch: 64 bits are 32. */
async function visibleOf(
  connection: Awaited<ReturnType<typeof session>>,
  stream: StoredStream,
  snapshot: string,
): Promise<ReadonlySet<number>> {
  const found = await connection.query<{ x: string }>(
    'SELECT x FROM unnest($1::text[]) AS x WHERE pg_visible_in_snapshot(x::xid8, $2::pg_snapshot)',
    [`{${stream.transactions.map(({ xid }) => xid).join(',')}}`, snapshot],
  );
  return new Set(found.map(({ x }) => Number(x)));
}

async function countAstray(url: string, stream: StoredStream): Promise<number> {
  const committed = await rows<{ id: string }>(url, 'SELECT id::text AS "id" FROM seam');
  const captured = stream.transactions.flatMap(({ inserted }) => inserted['public.seam'] ?? []);
  const once = new Set(captured);
  return captured.length - once.size + committed.filter(({ id }) => !once.delete(id)).length + once.size;
}
