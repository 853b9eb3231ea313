import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { rows } from '../support/postgres.ts';
import { until } from '../support/until.ts';

export interface Measured {
  readonly milliseconds: number;
  readonly bytes?: number;
  /** Of the program alone, not of a server. */
  readonly peakRss?: number;
  readonly cpuSeconds?: number;
  /** Of the servers' processes that did it: tells what it cost, however busy the machine was. */
  readonly serverCpuSeconds?: number;
}

type Runs = Readonly<Record<string, () => Promise<Measured>>>;

/** Rounds in turn, so that the machine's mood falls on all alike. */
export async function measure(runs: Runs, rounds: number): Promise<Map<string, Measured[]>> {
  const results = new Map<string, Measured[]>(Object.keys(runs).map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, run] of Object.entries(runs)) results.get(name)?.push(await run());
  }
  return results;
}

/** Prints a table; ratios are of medians. `of` is how much was done, for a rate. */
export function report(
  title: string,
  base: string,
  results: ReadonlyMap<string, readonly Measured[]>,
  of?: { readonly count: number; readonly unit: string },
): void {
  const times = (name: string): number[] => (results.get(name) ?? []).map((one) => one.milliseconds);
  const own = median(times(base));
  const head = [
    'min',
    'median',
    'max',
    `${base} ÷ this`,
    of?.unit,
    'stored MB',
    'peak RSS MB',
    'CPU s',
    'servers’ CPU s',
  ];
  const columns = head.filter((column) => column !== undefined);
  print(`\n| ${title} | ${columns.join(' | ')} |\n|${' --- |'.repeat(columns.length + 1)}`);
  for (const [name, measured] of results) {
    const all = times(name);
    const seconds = [Math.min(...all), median(all), Math.max(...all)].map(
      (ms) => `${(ms / 1000).toFixed(1)} s`,
    );
    const rate = of === undefined ? [] : [((1000 * of.count) / median(all)).toFixed(of.count < 1e4 ? 1 : 0)];
    const cells = [
      ...seconds,
      (own / median(all)).toFixed(2),
      ...rate,
      megabytes(measured[0]?.bytes),
      megabytes(most(measured.map((one) => one.peakRss))),
      middle(measured.map((one) => one.cpuSeconds)),
      middle(measured.map((one) => one.serverCpuSeconds)),
    ];
    print(`| ${name} | ${cells.join(' | ')} |`);
  }
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
}

export function quantile(numbers: readonly number[], part: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
}

/** Peak memory and CPU time of a running program, as the kernel saw them last. */
export function watchProcess(pid: number | undefined): {
  end(): { readonly peakRss: number; readonly cpuSeconds: number };
} {
  let peakRss = 0;
  let cpuSeconds = 0;
  const look = async (): Promise<void> => {
    const [status, times] = await Promise.all(
      ['status', 'stat'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
    );
    peakRss = Math.max(peakRss, 1024 * Number(/VmHWM:\s+(\d+)/.exec(status ?? '')?.[1] ?? 0));
    cpuSeconds = Math.max(cpuSeconds, secondsIn(times ?? '', 11));
  };
  const timer = setInterval(() => void look(), 50);
  return {
    end: () => {
      clearInterval(timer);
      return { peakRss, cpuSeconds };
    },
  };
}

/** Runs something, and adds what servers that nobody else uses spent on it. */
export async function withServers(
  servers: readonly ThrowawayServer[],
  run: () => Promise<Measured>,
): Promise<Measured> {
  const before = await endedSessionsCpu(...servers);
  const measured = await run();
  // A session is counted once its process has ended.
  for (const server of servers) {
    const others = `SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type IN ('client backend', 'walsender') OR backend_type LIKE 'logical replication%worker'`;
    await until(async () => (await rows(server.url(), others)).length === 0);
  }
  return { ...measured, serverCpuSeconds: (await endedSessionsCpu(...servers)) - before };
}

/** CPU time of a server's processes that have ended, in all. */
async function endedSessionsCpu(...servers: readonly { readonly dataDirectory: string }[]): Promise<number> {
  let seconds = 0;
  for (const { dataDirectory } of servers) {
    const [pid] = (await readFile(join(dataDirectory, 'postmaster.pid'), 'utf8')).split('\n');
    seconds += secondsIn(await readFile(`/proc/${pid}/stat`, 'utf8'), 13);
  }
  return seconds;
}

/** proc(5): two fields behind the name in brackets, user and system time in hundredths. */
function secondsIn(stat: string, place: number): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[place] ?? 0) + Number(fields[place + 1] ?? 0)) / 100 || 0;
}

export async function sizeOf(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const sizes = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

function most(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

function middle(values: readonly (number | undefined)[]): string {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? '' : median(known).toFixed(1);
}

function megabytes(value: number | undefined): string {
  return value === undefined ? '' : (value / 1e6).toFixed(0);
}
