import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { PG_BIN } from './postgres.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export interface Ran {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

interface Options {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** Leads a process group of its own, as one that a shell has started: for `hasChildren`. */
  readonly detached?: boolean;
}

/** Starts the command line program as a user does; the caller may kill it. */
export function start(args: readonly string[], options: Options = {}) {
  return execa(process.execPath, ['--max-semi-space-size=1', MAIN, ...args], {
    reject: false,
    stdin: 'ignore',
    detached: options.detached ?? false,
    extendEnv: false,
    cwd: options.cwd ?? tmpdir(),
    env: { PATH: process.env['PATH'] ?? '', HOME: tmpdir(), TIDEMARK_PG_BIN: PG_BIN, ...options.env },
  });
}

/** Runs the command line program to its end. */
export async function tidemark(args: readonly string[], options: Options = {}): Promise<Ran> {
  const { exitCode, stdout, stderr } = await start(args, options);
  return { exitCode, stdout, stderr };
}

/** Runs it and expects success; its JSON document. */
export async function tidemarkJson(
  args: readonly string[],
  options: Options = {},
): Promise<Record<string, unknown>> {
  const ran = await tidemark([...args, '--json'], options);
  if (ran.exitCode !== 0) throw new Error(`tidemark ${args[0]} ended with ${ran.exitCode}: ${ran.stderr}`);
  return JSON.parse(ran.stdout) as Record<string, unknown>;
}

/** A temporary folder that goes when the test ends. */
export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'tidemark-test-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Waits until a run that was started with TIDEMARK_FAILPOINTS=…=pause or …=sleep has come to that point. */
export async function reached(running: ReturnType<typeof start>, failpoint: string): Promise<void> {
  const found = Promise.withResolvers<void>();
  let said = '';
  running.stderr.on('data', (bytes: Buffer) => {
    said += bytes.toString('utf8');
    if (said.includes(`failpoint ${failpoint}: `)) found.resolve();
  });
  const ended = running.then(({ stderr }) =>
    Promise.reject(new Error(`${failpoint} was not reached: ${stderr}`)),
  );
  ended.catch(() => undefined);
  await Promise.race([found.promise, ended]);
}

/**
 * Whether a detached run that has ended has left any process that it started. One that ended and was not waited for by whoever
 * inherited it counts for none, where that can be told.
 */
export function hasChildren(running: ReturnType<typeof start>): boolean {
  const group = running.pid ?? 0;
  if (existsSync('/proc/self/stat')) return readdirSync('/proc').some((pid) => isAlive(pid, group));
  try {
    process.kill(-group, 0);
    return true;
  } catch {
    return false;
  }
}

/** proc(5): after the name in brackets come state, parent and process group. */
function isAlive(pid: string, group: number): boolean {
  if (!/^\d+$/.test(pid)) return false;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(pgrp) === group && state !== 'Z';
  } catch {
    return false;
  }
}
