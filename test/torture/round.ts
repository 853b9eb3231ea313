// One round of torture: a busy source, capture broken in every way all the time, then many points brought back and compared
// with what others say that they were.
import { isDeepStrictEqual } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import { formatLsn } from '../../src/model/lsn.ts';
import type { Lsn } from '../../src/model/lsn.ts';
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
import { failAtRandom, startChaos } from './chaos.ts';
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
  readonly large: boolean;
  readonly say?: (line: string) => void;
}

export interface RoundFigures {
  readonly transactions: number;
  readonly lost: number;
  readonly doubled: number;
  readonly kills: number;
  readonly points: readonly string[];
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
  await firstSnapshot(url, shaky, { env, stored });
  const faults = failAtRandom(proxy, random);
  const chaos = startChaos({
    random,
    url,
    port: source.port,
    args: ['--repository', shaky, '--flush', '150ms'],
    env,
  });
  const load = startLoad(url, options);
  const truth: Truth = { witnesses: [], natives: [], commits: [] };
  const end = Date.now() + options.seconds * 1000;
  try {
    const snapshots = takeSnapshots(['--url', url, '--repository', shaky], { env, until: end });
    await Promise.all([snapshots, witness(url, truth, end), lookAtNative(native, truth, end)]);
    say(`${truth.witnesses.length} witnesses, ${truth.natives.length} of the native subscription`);
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
  say(`${streams[0]?.transactions.length} transactions, ${chaos.kills} kills of capture`);
  const wrong: string[] = [];
  if (streams.length !== 1 || streams[0]?.pieces !== 1) wrong.push('more than one stream, or a hole in it');
  const restored = await bringBack({ ...options, truth, stored, shaky, env, url, wrong });
  return {
    transactions: streams[0]?.transactions.length ?? 0,
    lost: truly.filter((id) => !once.has(id)).length,
    doubled: ids.length - once.size + [...once].filter((id) => !new Set(truly).has(id)).length,
    kills: chaos.kills,
    points: [...chaos.points],
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

/** Undisturbed, behind a heartbeat that is stored: every point of the round has something to begin from. */
async function firstSnapshot(
  url: string,
  repository: string,
  at: { readonly env: Record<string, string>; readonly stored: Parameters<typeof openStore>[0] },
): Promise<void> {
  const run = capture(url, repository, [], at.env);
  await run.said('streaming');
  await until(async () =>
    (await storedStreams(at.stored)).some(({ runs }) => runs.some(({ heartbeats }) => heartbeats.length > 0)),
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
  },
): Promise<{ replayKills: number; killed: number; program: number }> {
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
    const result = await targets.visibleInKilled(seen, random);
    compare(
      `killed ${result.kills} times, visible in ${seen.upper.toString(16)}`,
      seen.digest,
      result.digest,
    );
    killed += 1;
    replayKills += result.kills;
  }
  say(`${truth.commits.length} commits one by one; ${replayKills} kills of ${killed} replays`);
  const program = await byTheProgram(round, compare);
  await to.close();
  await from.close();
  return { replayKills, killed, program };
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
