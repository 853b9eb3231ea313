import { setTimeout as delay } from 'node:timers/promises';
import { FAILPOINTS } from '../../src/runtime/failpoints.ts';
import type { Failpoint } from '../../src/runtime/failpoints.ts';
import type { Fault, FaultProxy } from '../support/fault-proxy.ts';
import { tcpProxy } from '../support/tcp-proxy.ts';
import { start } from '../support/tidemark.ts';
import type { randomness } from '../support/workload.ts';

type Random = ReturnType<typeof randomness>;

/** Not here: what comes by once an hour, and what a lost slot alone leads to; test/fault/capture.test.ts has them. */
const ELSEWHERE: readonly Failpoint[] = [
  'capture.chapter-stored',
  'capture.gap-recorded',
  'capture.slot-dropped',
];

export const KILLED_AT = FAILPOINTS.filter(
  (point) =>
    (point.startsWith('capture.') && !ELSEWHERE.includes(point)) || /^s3\.(before|after)-put/.test(point),
);

export interface Chaos {
  /** Lives of capture that ended by kill -9, at a failpoint or anywhere. */
  readonly kills: number;
  /** Networks that went silent under it, or were reset. */
  readonly networks: number;
  /** Failpoints at which it was killed. */
  readonly points: ReadonlySet<string>;
  /** The last life is killed, too. */
  end(): Promise<void>;
}

/** Starts capture again and again, and breaks each of its lives in another way. */
export function startChaos(options: {
  readonly random: Random;
  readonly url: string;
  readonly port: number;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}): Chaos {
  const { random } = options;
  const counted = { kills: 0, networks: 0, points: new Set<string>() };
  const over = new AbortController();
  const isOver = (): boolean => over.signal.aborted;
  let waiting = [...KILLED_AT];
  const lives = async (): Promise<void> => {
    for (let life = 0; !isOver(); life += 1) {
      if (waiting.length === 0) waiting = [...KILLED_AT];
      const point = life % 2 === 0 ? waiting.shift() : undefined;
      await oneLife(options, { point, counted, isOver });
    }
  };
  const all = lives();
  return {
    get kills() {
      return counted.kills;
    },
    get networks() {
      return counted.networks;
    },
    points: counted.points,
    end: async () => {
      over.abort();
      await all;
    },
  };

  async function oneLife(
    at: typeof options,
    life: {
      readonly point: Failpoint | undefined;
      readonly counted: { kills: number; networks: number; points: Set<string> };
      readonly isOver: () => boolean;
    },
  ): Promise<void> {
    await using proxy = await tcpProxy(at.port);
    const near = new URL(at.url);
    near.port = String(proxy.port);
    near.searchParams.set('tcp_user_timeout', '2000');
    const { point } = life;
    // What comes by rarely is met the first time; the rest anywhere.
    const time = /run-packed|segment-stored|confirmed|put/.test(point ?? '') ? 1 + random.int(8) : 1;
    const env = { ...at.env, ...(point && { TIDEMARK_FAILPOINTS: `${point}=kill@${time}` }) };
    const running = start(['capture', '--url', near.toString(), ...at.args], { env });
    const gone = new AbortController();
    const end = running.finally(() => gone.abort());
    const wait = async (milliseconds: number): Promise<void> => {
      for (let left = milliseconds; left > 0 && !gone.signal.aborted && !life.isOver(); left -= 50)
        await delay(50);
    };
    await wait(point === undefined ? 600 + random.int(3500) : 8000);
    const breaks = point === undefined && !gone.signal.aborted && !life.isOver() ? random.int(3) : 0;
    if (breaks === 1) proxy.silence();
    if (breaks === 2) await proxy[Symbol.asyncDispose]();
    if (breaks > 0) {
      life.counted.networks += 1;
      await wait(500 + random.int(4000));
    }
    const hasEnded = gone.signal.aborted;
    running.kill('SIGKILL');
    const { signal, exitCode, stderr } = await end;
    if (signal === 'SIGKILL') {
      life.counted.kills += 1;
      if (point !== undefined && hasEnded) life.counted.points.add(point);
    } else if (/internal/.test(stderr)) throw new Error(`capture ended with ${exitCode}: ${stderr}`);
  }
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
