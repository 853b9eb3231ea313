import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { execa } from 'execa';
import { Failure, asFailure, interruption, throwIfAborted } from '../model/failure.ts';

export interface ToolRun {
  readonly file: string;
  /** Shown in process lists: never a secret. */
  readonly args: readonly string[];
  /** The child's whole environment, besides PATH, HOME, TMPDIR and a UTF-8 locale. */
  readonly environment: Readonly<Record<string, string>>;
  readonly stdin?: AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
}

const STDERR_TAIL_BYTES = 8192;
const KILL_AFTER_MS = 5000;

/**
 * Runs a program and yields what it prints. The iteration ends well only when the program exited with 0 and
 * took all of its input: output that ended is no success yet. Stopping, by the signal or by leaving the loop,
 * ends the program (SIGTERM, then SIGKILL). Fails with `tool.failed` and the end of what it said on stderr.
 */
export async function* runTool(run: ToolRun): AsyncIterable<Buffer> {
  throwIfAborted(run.signal);
  const child = execa(run.file, [...run.args], {
    env: childEnvironment(run.environment),
    extendEnv: false,
    stdin: run.stdin === undefined ? 'ignore' : 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    buffer: false,
    encoding: 'buffer',
    reject: false,
    cancelSignal: run.signal,
    forceKillAfterDelay: KILL_AFTER_MS,
    cleanup: true,
  });
  const stderr = tail(child.stderr);
  const fed = feed(run.stdin, child.stdin);
  let ended = false;
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    ended = true;
  } finally {
    if (!ended) child.kill();
  }
  const [result, said, inputError] = await Promise.all([child, stderr, fed]);
  if (run.signal.aborted) throw interruption(run.signal);
  if (result.exitCode !== 0) throw toolFailure(run, { result, said, inputError });
  if (inputError !== undefined) throw asFailure(inputError);
}

/** The whole output of a program that prints little. Fails with `tool.failed` beyond `maxBytes`. */
export async function captureTool(run: ToolRun & { readonly maxBytes: number }): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of runTool(run)) {
    size += chunk.length;
    if (size > run.maxBytes) {
      throw new Failure('tool.failed', `${run.file} printed more than ${run.maxBytes} bytes`, {
        facts: { file: run.file },
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

interface Ending {
  readonly result: {
    readonly exitCode?: number | undefined;
    readonly signal?: string | undefined;
    readonly cause?: unknown;
  };
  readonly said: string;
  readonly inputError: unknown;
}

function toolFailure(run: ToolRun, { result, said, inputError }: Ending): Failure {
  // A program that lost its input complains too; the input's own failure tells more.
  if (inputError instanceof Failure) return inputError;
  const name = run.file.split('/').at(-1) ?? run.file;
  const how =
    result.exitCode === undefined
      ? result.signal === undefined
        ? 'could not be started'
        : `was ended by ${result.signal}`
      : `failed with exit code ${result.exitCode}`;
  const words = said.trim();
  return new Failure('tool.failed', `${name} ${how}${words === '' ? '' : `: ${words}`}`, {
    facts: { file: run.file, exitCode: result.exitCode, signal: result.signal },
    cause: result.cause,
  });
}

async function feed(source: AsyncIterable<Uint8Array> | undefined, stdin: unknown): Promise<unknown> {
  if (source === undefined) return undefined;
  try {
    await pipeline(Readable.from(source, { objectMode: false }), stdin as NodeJS.WritableStream);
    return undefined;
  } catch (error) {
    // A program may stop reading when it has what it needs (pg_restore --list): its exit code decides.
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE' ? undefined : error;
  }
}

async function tail(stream: AsyncIterable<unknown>): Promise<string> {
  let kept = Buffer.alloc(0);
  for await (const chunk of stream) {
    kept = Buffer.concat([kept, chunk as Buffer]).subarray(-STDERR_TAIL_BYTES);
  }
  return kept.toString('utf8');
}

function childEnvironment(environment: Readonly<Record<string, string>>): Record<string, string> {
  return { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C.UTF-8', LANG: 'C.UTF-8', ...environment };
}
