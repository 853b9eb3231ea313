import { setTimeout as delay } from 'node:timers/promises';
import { FAILPOINTS } from '../../src/runtime/failpoints.ts';
import type { Failpoint } from '../../src/runtime/failpoints.ts';
import { AN_HOUR_LATER } from '../support/capturing.ts';
import type { Fault, FaultProxy } from '../support/fault-proxy.ts';
import { rows } from '../support/postgres.ts';
import { tcpProxy } from '../support/tcp-proxy.ts';
import { start } from '../support/tidemark.ts';
import type { randomness } from '../support/workload.ts';

type Random = ReturnType<typeof randomness>;

/** At all of them but those of large objects' uploads, which no segment is. */
export const KILLED_AT = FAILPOINTS.filter(
  (point) => point.startsWith('capture.') || /^s3\.(before|after)-put/.test(point),
);

/** These come once in a stream's life, so that a round brings them about by itself. */
const ONCE: readonly Failpoint[] = ['capture.stream-created', 'capture.gap-recorded', 'capture.slot-dropped'];

export interface Chaos {
  /** Lives of capture that ended by kill -9, at a failpoint or anywhere. */
  readonly kills: number;
  /** Networks that went silent under it, or were reset. */
  readonly networks: number;
  /** Failpoints at which it was killed. */
  readonly points: ReadonlySet<Failpoint>;
  /** Failpoints at which it was killed neither in this round nor before. */
  readonly missed: number;
  /** The last life is killed, too. */
  end(): Promise<void>;
}

interface Capture {
  readonly url: string;
  readonly port: number;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Starts capture again and again, and breaks each of its lives in another way. */
export function startChaos(
  options: Capture & {
    readonly random: Random;
    /** There are transactions that are stored in parts. */
    readonly large: boolean;
    /** Where it was killed before: the others come first. */
    readonly hit: ReadonlySet<Failpoint>;
  },
): Chaos {
  const { url } = options;
  const counted = { kills: 0, networks: 0, points: new Set<Failpoint>() };
  const over = new AbortController();
  const isOver = (): boolean => over.signal.aborted;
  const all = KILLED_AT.filter(
    (point) => !ONCE.includes(point) && (options.large || point !== 'capture.part-stored'),
  );
  let waiting = [...all].sort((a, b) => Number(options.hit.has(a)) - Number(options.hit.has(b)));
  const lives = async (): Promise<void> => {
    // A transaction begins anew in each life. Where lives are too short for it, none would ever get on: they last
    // longer until one has.
    let patience = 1;
    let before = await confirmedBy(url);
    for (let life = 0; !isOver(); life += 1) {
      if (waiting.length === 0) waiting = [...all];
      const point = life % 2 === 0 ? waiting.shift() : undefined;
      const isHit = await oneLife(options, { point, patience, counted, isOver });
      // Soon again, but behind another one.
      if (point !== undefined && !isHit) waiting.splice(1, 0, point);
      const now = await confirmedBy(url);
      patience = now === before ? Math.min(patience * 2, 16) : 1;
      before = now;
    }
  };
  const ended = lives();
  return {
    get kills() {
      return counted.kills;
    },
    get networks() {
      return counted.networks;
    },
    points: counted.points,
    get missed() {
      return all.filter((point) => !options.hit.has(point) && !counted.points.has(point)).length;
    },
    end: async () => {
      over.abort();
      await ended;
    },
  };
}

async function confirmedBy(url: string): Promise<string | undefined> {
  const [slot] = await rows<{ lsn: string | null }>(
    url,
    `SELECT confirmed_flush_lsn::text AS "lsn" FROM pg_replication_slots WHERE database = current_database() AND slot_name LIKE 'tidemark%'`,
  );
  return slot?.lsn ?? undefined;
}

/** Whether it was killed at its point. */
async function oneLife(
  at: Parameters<typeof startChaos>[0],
  life: {
    readonly point: Failpoint | undefined;
    readonly patience: number;
    readonly counted: { kills: number; networks: number; points: Set<Failpoint> };
    readonly isOver: () => boolean;
  },
): Promise<boolean> {
  const { random } = at;
  const { point, patience, counted } = life;
  await using proxy = await tcpProxy(at.port);
  const near = new URL(at.url);
  near.port = String(proxy.port);
  near.searchParams.set('tcp_user_timeout', '2000');
  // What comes by rarely is met the first time; the rest anywhere.
  const time = /run-packed|segment-stored|confirmed|put/.test(point ?? '') ? 1 + random.int(8) : 1;
  const running = startArmed({ ...at, url: near.toString() }, point, time);
  const gone = new AbortController();
  const end = running.finally(() => gone.abort());
  const wait = async (milliseconds: number): Promise<void> => {
    for (let left = milliseconds; left > 0 && !gone.signal.aborted && !life.isOver(); left -= 50)
      await delay(50);
  };
  // A large transaction comes now and then.
  const longest = (point === 'capture.part-stored' ? 30_000 : 12_000) + 4000 * patience;
  await wait(point === undefined ? (600 + random.int(3500)) * patience : longest);
  const breaks = point === undefined && !gone.signal.aborted && !life.isOver() ? random.int(3) : 0;
  if (breaks === 1) proxy.silence();
  if (breaks === 2) await proxy[Symbol.asyncDispose]();
  if (breaks > 0) {
    counted.networks += 1;
    await wait(500 + random.int(4000));
  }
  const hasEnded = gone.signal.aborted;
  running.kill('SIGKILL');
  const { signal, exitCode, stderr } = await end;
  if (signal !== 'SIGKILL') {
    if (/internal/.test(stderr)) throw new Error(`capture ended with ${exitCode}: ${stderr}`);
    return false;
  }
  counted.kills += 1;
  const isHit = point !== undefined && hasEnded;
  if (isHit) counted.points.add(point);
  return isHit;
}

function startArmed(at: Capture, point: Failpoint | undefined, time: number): ReturnType<typeof start> {
  const env = {
    ...at.env,
    ...(point && { TIDEMARK_FAILPOINTS: `${point}=kill@${time}` }),
    ...(point === 'capture.chapter-stored' && AN_HOUR_LATER),
  };
  return start(['capture', '--url', at.url, ...at.args], { env });
}

/** One life that ends by kill -9 where it must come by. */
export async function killAt(point: Failpoint, at: Omit<Capture, 'port'>): Promise<void> {
  const { signal, stderr } = await startArmed({ ...at, port: 0 }, point, 1);
  if (signal !== 'SIGKILL') throw new Error(`capture did not come by ${point}: ${stderr}`);
}

/** A store that fails at random, in each of the ways in which stores do. */
export function failAtRandom(proxy: FaultProxy, random: Random): { readonly faults: number } {
  const counted = { faults: 0 };
  const puts: readonly Fault[] = [
    { kind: 'answer', status: 503, code: 'SlowDown' },
    { kind: 'answer', status: 500, code: 'InternalError', afterMs: 100 },
    { kind: 'drop-answer' },
    { kind: 'refuse' },
  ];
  const gets: readonly Fault[] = [
    ...puts.slice(0, 2),
    { kind: 'refuse' },
    { kind: 'reset-body', afterBytes: 100 },
  ];
  proxy.fault = ({ method }) => {
    if (random.int(12) > 0) return { kind: 'pass' };
    counted.faults += 1;
    return random.pick(method === 'GET' ? gets : puts);
  };
  return counted;
}
