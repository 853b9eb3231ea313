// One round of torture: a busy source, capture broken in every way all the time, then many points brought back and compared
// with what others say that they were.
import { isDeepStrictEqual } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import { formatLsn } from '../../src/model/lsn.ts';
import type { Lsn } from '../../src/model/lsn.ts';
import type { Failpoint } from '../../src/runtime/failpoints.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { openStore } from '../../src/storage/open-store.ts';
import { capture, captured, committed, position } from '../support/capturing.ts';
import { faultProxy } from '../support/fault-proxy.ts';
import { newDatabase, session, sql, stockDump } from '../support/postgres.ts';
import { runOrRollBack } from '../support/replay.ts';
import type { TestS3 } from '../support/s3.ts';
import { storedStreams } from '../support/stored-stream.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';
import { SCHEMA, randomness } from '../support/workload.ts';
import { failAtRandom, killAt, startChaos } from './chaos.ts';
import { differences, digestOf, digestSession, insertPosition, witnessOf } from './digest.ts';
import type { Digest, Witness } from './digest.ts';
import { MORE_TABLES, ledgerTransaction, startLoad } from './load.ts';
import { NOT_NATIVE, NativeSubscription } from './native.ts';
import type { NativePoint } from './native.ts';
import { Targets, copyStore } from './targets.ts';

export interface RoundOptions {
  readonly source: ThrowawayServer;
  readonly target: ThrowawayServer;
  readonly s3: TestS3;
  readonly seed: number;
  readonly seconds: number;
  readonly sessions: number;
  /** Transactions of one session alone, each of them a target. */
  readonly commits: number;
  /** Kills of a replay, at least. */
  readonly replayKills: number;
  /** Transactions of 48 MB among the others. */
  readonly large: boolean;
  /** Points under load that are brought back, at most: of the witnesses, and of the native subscription. */
  readonly points?: number;
  /** In the end the slot is dropped: a gap, of which both sides come back. */
  readonly gap?: boolean;
  /** Failpoints at which capture was killed in rounds before. With it, work goes on until it was at all, for a while. */
  readonly hit?: ReadonlySet<Failpoint>;
  readonly say?: (line: string) => void;
}

export interface RoundFigures {
  readonly transactions: number;
  readonly lost: number;
  readonly doubled: number;
  readonly kills: number;
  readonly points: readonly Failpoint[];
  /** Transactions that were stored in parts. */
  readonly large: number;
  readonly networks: number;
  readonly storeFaults: number;
  readonly replayKills: number;
  readonly targets: {
    readonly visible: number;
    readonly native: number;
    readonly commits: number;
    readonly killed: number;
    readonly program: number;
  };
  readonly wrong: readonly string[];
}

export const TORTURE_SETTINGS = {
  max_prepared_transactions: '50',
  max_replication_slots: '20',
  max_wal_senders: '20',
  deadlock_timeout: '200ms',
};

const FULL_SCHEMA = `${SCHEMA} ${MORE_TABLES}`;
/** Sequences go on beyond the point on purpose; the target's own schema is the restore's. */
const ROWS = ['--data-only', '--exclude-schema=tidemark', '--exclude-schema=tidemark_restore'];

/** What others said of the source while it was at work. */
interface Truth {
  readonly witnesses: Witness[];
  readonly natives: NativePoint[];
  readonly commits: { readonly before: Lsn; readonly digest: Digest }[];
}

export async function tortureRound(options: RoundOptions): Promise<RoundFigures> {
  const { source, target, s3, seed, say = () => undefined } = options;
  const random = randomness(seed);
  await using proxy = await faultProxy(s3.endpoint);
  const bucket = await s3.newBucket();
  const env = { AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey };
  const shaky = `s3://${bucket}?endpoint=${proxy.url}`;
  const url = await newDatabase(source);
  await sql(url, FULL_SCHEMA);
  await tidemarkJson(['init', '--capture', '--url', url, '--repository', shaky], { env });
  const native = await NativeSubscription.create(url, await newDatabase(target), source, FULL_SCHEMA);
  const stored = { url: `s3://${bucket}`, ...s3 };
  const capturing = { url, args: ['--repository', shaky, '--flush', '150ms'], env };
  const points = new Set<Failpoint>(['capture.stream-created']);
  await killAt('capture.stream-created', capturing);
  await firstSnapshot(url, shaky, { env, stored });
  const faults = failAtRandom(proxy, random);
  const hit = options.hit ?? new Set();
  const chaos = startChaos({ ...capturing, random, port: source.port, large: options.large, hit });
  const load = startLoad(url, options);
  const truth: Truth = { witnesses: [], natives: [], commits: [] };
  const end = Date.now() + options.seconds * 1000;
  try {
    const snapshots = takeSnapshots(['--url', url, '--repository', shaky], { env, until: end });
    await Promise.all([snapshots, witness(url, truth, end), lookAtNative(native, truth, end)]);
    say(`${truth.witnesses.length} witnesses, ${truth.natives.length} of the native subscription`);
    const latest = end + 4 * options.seconds * 1000;
    while (options.hit !== undefined && chaos.missed > 0 && Date.now() < latest) await delay(200);
  } finally {
    await load.end();
  }
  await alone(url, truth, options);
  await chaos.end();
  const last = ['--until', await position(url), '--flush', '150ms'];
  const caughtUp = await tidemark(['capture', '--url', url, '--repository', shaky, ...last], { env });
  if (caughtUp.exitCode !== 0) throw new Error(`capture did not catch up: ${caughtUp.stderr}`);
  await native.drop();
  const { ids, streams } = await captured(stored);
  const truly = await committed(url);
  const once = new Set(ids);
  const large = streams.flatMap(({ runs }) => runs.filter(({ parts }) => parts.length > 0)).length;
  say(
    `${streams[0]?.transactions.length} transactions, ${large} of them large, ${chaos.kills} kills of capture`,
  );
  const wrong: string[] = [];
  if (streams.length !== 1 || streams[0]?.pieces !== 1) wrong.push('more than one stream, or a hole in it');
  if (options.large && large === 0) wrong.push('no large transaction was stored');
  thin(truth, options.points);
  const restored = await bringBack({ ...options, truth, stored, shaky, env, url, wrong, capturing });
  for (const point of [...chaos.points, ...restored.points]) points.add(point);
  return {
    transactions: streams[0]?.transactions.length ?? 0,
    lost: truly.filter((id) => !once.has(id)).length,
    doubled: ids.length - once.size + [...once].filter((id) => !new Set(truly).has(id)).length,
    kills: chaos.kills + 1 + restored.points.length,
    points: [...points],
    large,
    networks: chaos.networks,
    storeFaults: faults.faults,
    replayKills: restored.replayKills,
    targets: {
      visible: truth.witnesses.length,
      native: truth.natives.length,
      commits: truth.commits.length,
      killed: restored.killed,
      program: restored.program,
    },
    wrong,
  };
}

/** As many as there is time for, evenly. */
function thin(truth: Truth, most = Infinity): void {
  for (const points of [truth.witnesses, truth.natives]) {
    const step = points.length / most;
    const kept = points.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step));
    if (step > 1) points.splice(0, points.length, ...(kept as never[]));
  }
}

/** Undisturbed, behind a heartbeat that is stored: every point of the round has something to begin from. */
async function firstSnapshot(
  url: string,
  repository: string,
  at: { readonly env: Record<string, string>; readonly stored: Parameters<typeof openStore>[0] },
): Promise<void> {
  const run = capture(url, repository, [], at.env);
  await run.said('streaming');
  // Of the newest stream.
  await until(
    async () =>
      (await storedStreams(at.stored)).at(-1)?.runs.some(({ heartbeats }) => heartbeats.length > 0) === true,
  );
  await tidemarkJson(['snapshot', '--url', url, '--repository', repository], { env: at.env });
  await run.stop();
}

/** One at once, then from time to time; one that met a lock or a broken store is for the next to make good. */
async function takeSnapshots(
  args: readonly string[],
  options: { readonly env: Record<string, string>; readonly until: number },
): Promise<void> {
  const wait = (options.until - Date.now()) / 3;
  for (let taken = 0; taken === 0 || Date.now() < options.until - wait;) {
    const { exitCode, stderr } = await tidemark(['snapshot', ...args], { env: options.env });
    if (exitCode !== 0 && !/lock|source\.(changed|gave_way)|repository\./.test(stderr))
      throw new Error(stderr);
    if (exitCode !== 0) continue;
    taken += 1;
    await delay(wait);
  }
}

async function witness(url: string, truth: Truth, end: number): Promise<void> {
  await using connection = await digestSession(url);
  while (Date.now() < end) {
    const seen = await witnessOf(connection);
    if (seen !== undefined) truth.witnesses.push(seen);
    await delay(400);
  }
}

async function lookAtNative(native: NativeSubscription, truth: Truth, end: number): Promise<void> {
  while (Date.now() < end) {
    await delay(700);
    const seen = await native.stopAndLook();
    if (seen !== undefined && seen.end !== truth.natives.at(-1)?.end) truth.natives.push(seen);
  }
}

/** One session works, and says what is there after each commit. */
async function alone(
  url: string,
  truth: Truth,
  options: Pick<RoundOptions, 'seed' | 'commits'>,
): Promise<void> {
  const random = randomness(options.seed + 7);
  await using connection = await session(url);
  await using looking = await digestSession(url);
  while (truth.commits.length < options.commits) {
    const statements = ledgerTransaction(random, 99);
    if (!(await runOrRollBack(connection, statements)) || statements.at(-1) !== 'COMMIT') continue;
    truth.commits.push({ before: await insertPosition(url), digest: await digestOf(looking) });
  }
}

async function bringBack(
  round: RoundOptions & {
    readonly truth: Truth;
    readonly stored: Parameters<typeof openStore>[0];
    readonly shaky: string;
    readonly env: Record<string, string>;
    readonly url: string;
    readonly wrong: string[];
    readonly capturing: Parameters<typeof killAt>[1];
  },
): Promise<{ replayKills: number; killed: number; program: number; points: Failpoint[] }> {
  const { truth, target, wrong, say = () => undefined } = round;
  const compare = (what: string, expected: Digest, found: Digest): void => {
    if (!isDeepStrictEqual(expected, found))
      wrong.push(`${what}: ${differences(expected, found).join(', ')}`);
  };
  await using folder = await temporaryFolder();
  const [from, to] = [await openStore(round.stored), await openStore({ url: folder.path })];
  await copyStore(from, to);
  const targets = await Targets.open(target, to, folder.path);
  for (const seen of truth.witnesses)
    compare(`visible in ${seen.upper.toString(16)}`, seen.digest, await targets.visibleIn(seen));
  for (const point of truth.natives) {
    const found = Object.entries(await targets.prefix(point.end));
    const here = found.filter(([name]) => !NOT_NATIVE.includes(name.replace('public.', '')));
    compare(`native at ${point.end.toString(16)}`, point.digest, Object.fromEntries(here));
  }
  say(`${targets.count} points visible in a witness, or of the native subscription, brought back`);
  const digests = targets.walk(truth.commits.map(({ before }) => before));
  for (const { before, digest } of truth.commits)
    compare(`commit before ${before.toString(16)}`, digest, (await digests.next()).value as Digest);
  await digests.next();
  let [killed, replayKills] = [0, 0];
  const random = randomness(round.seed + 11);
  while (replayKills < round.replayKills) {
    const seen = truth.witnesses.at(-1 - (killed % Math.max(1, truth.witnesses.length >> 1)));
    if (seen === undefined) throw new Error('no witness');
    const result = await targets.visibleInKilled(seen, random, round.large ? 8000 : 200);
    compare(
      `killed ${result.kills} times, visible in ${seen.upper.toString(16)}`,
      seen.digest,
      result.digest,
    );
    killed += 1;
    replayKills += result.kills;
  }
  say(`${truth.commits.length} commits one by one; ${replayKills} kills of ${killed} replays`);
  await to.close();
  await from.close();
  const points = round.gap === true ? await loseTheSlot(round) : [];
  const program = await byTheProgram(round, compare);
  return { replayKills, killed, program, points };
}

/** A gap, and capture killed while it records it and makes the slot anew; then a snapshot, and changes behind it. */
async function loseTheSlot(round: Parameters<typeof bringBack>[0]): Promise<Failpoint[]> {
  const { url, shaky, env, stored, capturing, wrong, target } = round;
  await sql(
    url,
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database() AND slot_name LIKE 'tidemark%';
     INSERT INTO ledger (note) VALUES ('lost')`,
  );
  const lost = await position(url);
  const points = ['capture.gap-recorded', 'capture.slot-dropped'] as const;
  for (const point of points) await killAt(point, capturing);
  await sql(url, "INSERT INTO ledger (note) VALUES ('behind')");
  await firstSnapshot(url, shaky, { env, stored });
  await sql(
    url,
    "INSERT INTO ledger (note) VALUES ('after'); UPDATE ledger SET note = 'changed' WHERE note = 'behind'",
  );
  const last = ['--until', await position(url), '--flush', '150ms'];
  const caughtUp = await tidemark(['capture', '--url', url, '--repository', shaky, ...last], { env });
  if (caughtUp.exitCode !== 0) throw new Error(`capture did not catch up: ${caughtUp.stderr}`);
  const to = ['--to', `lsn:${lost}`, '--exclusive', '--target', await newDatabase(target)];
  const refused = await tidemark(['restore', ...to, '--repository', shaky], { env });
  if (refused.exitCode !== 5) wrong.push(`a point in the gap is not refused: ${refused.exitCode}`);
  return [...points];
}

/** The command line's own restores, from the shaky store: the newest point, and one in the middle. */
async function byTheProgram(
  round: RoundOptions & {
    readonly truth: Truth;
    readonly shaky: string;
    readonly env: Record<string, string>;
    readonly url: string;
    readonly wrong: string[];
  },
  compare: (what: string, expected: Digest, found: Digest) => void,
): Promise<number> {
  const { truth, target, shaky, env, url, wrong } = round;
  const restore = async (to: readonly string[]): Promise<string> => {
    const into = await newDatabase(target);
    await tidemarkJson(['restore', ...to, '--target', into, '--repository', shaky], { env });
    return into;
  };
  const latest = await restore([]);
  const dump = async (of: string, major: number): Promise<string> =>
    (await stockDump(of, major, ROWS)).replaceAll(/^SELECT pg_catalog\.setval.*$/gm, '');
  if ((await dump(latest, target.major)) !== (await dump(url, round.source.major)))
    wrong.push('latest differs from the quiet source by stock pg_dump');
  // Sequences are behind what they have given out.
  await sql(
    latest,
    "INSERT INTO kinds DEFAULT VALUES; INSERT INTO child DEFAULT VALUES; INSERT INTO by_index (code) VALUES ('new'); INSERT INTO ledger DEFAULT VALUES",
  );
  const middle = truth.commits.at(truth.commits.length >> 1);
  if (middle === undefined) return 1;
  const there = await restore(['--to', `lsn:${formatLsn(middle.before)}`, '--exclusive']);
  await using connection = await digestSession(there);
  compare('a commit, by the program', middle.digest, await digestOf(connection));
  return 2;
}
