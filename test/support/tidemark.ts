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

/** Starts the command line program as a user does; the caller may kill it. */
export function start(args: readonly string[], options: { env?: Record<string, string>; cwd?: string } = {}) {
  return execa(process.execPath, ['--max-semi-space-size=1', MAIN, ...args], {
    reject: false,
    stdin: 'ignore',
    extendEnv: false,
    cwd: options.cwd ?? tmpdir(),
    env: { PATH: process.env['PATH'] ?? '', HOME: tmpdir(), TIDEMARK_PG_BIN: PG_BIN, ...options.env },
  });
}

/** Runs the command line program to its end. */
export async function tidemark(
  args: readonly string[],
  options: { env?: Record<string, string>; cwd?: string } = {},
): Promise<Ran> {
  const { exitCode, stdout, stderr } = await start(args, options);
  return { exitCode, stdout, stderr };
}

/** Runs it and expects success; its JSON document. */
export async function tidemarkJson(
  args: readonly string[],
  options: { env?: Record<string, string>; cwd?: string } = {},
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
