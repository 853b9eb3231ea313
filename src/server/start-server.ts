import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, statSync } from 'node:fs';
import { chown, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { Failure, interruption, throwIfAborted } from '../model/failure.ts';
import type { ServerBinaries } from './binaries.ts';

export interface StartOptions {
  readonly binaries: ServerBinaries;
  /** Server settings, as `-c name=value`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Arguments of initdb besides ours, like `--encoding=LATIN1`. */
  readonly initdb?: readonly string[];
  readonly signal: AbortSignal;
}

/** A Postgres that lives as long as its holder, on loopback, under a random password. */
export interface ThrowawayServer extends AsyncDisposable {
  readonly major: number;
  readonly port: number;
  readonly password: string;
  readonly dataDirectory: string;
  /** Superuser postgres. */
  url(database?: string): string;
  /** `immediate` is a crash: nothing is written any more. */
  stop(mode?: 'fast' | 'immediate'): Promise<void>;
}

/** In the system's temporary directory; the file in it has the number of the process that holds the server. */
export const SERVER_FOLDER = 'tidemark-server-';
export const HOLDER_FILE = 'holder';

const READY_MS = 60_000;
const STOP_MS = 15_000;
/**
 * Ends the server when its standard input ends, which is also when this process is killed with -9: a shell
 * becomes the server and leaves a child behind that waits for the end of input.
 */
const TIED_TO_STDIN = 'exec 3<&0; (cat <&3 >/dev/null; kill -INT $$) & exec "$@" </dev/null 3<&-';

/**
 * Makes a cluster in a temporary directory and starts it. As root it runs as an unprivileged user, since
 * Postgres refuses root. Disposing stops it and removes the directory. Fails with `server.unavailable`.
 */
export async function startServer(options: StartOptions): Promise<ThrowawayServer> {
  throwIfAborted(options.signal);
  const owner = await serverOwner();
  const directory = await mkdtemp(join(tmpdir(), SERVER_FOLDER));
  try {
    await writeFile(join(directory, HOLDER_FILE), String(process.pid));
    if (owner !== undefined) await chown(directory, owner.uid, owner.gid);
    const bin = await usableBinaries(options.binaries, { owner, directory });
    const password = randomBytes(18).toString('base64url');
    const dataDirectory = join(directory, 'data');
    await initdb({ ...options, bin, owner, directory, dataDirectory, password });
    const port = await freePort();
    const server = await launch({ ...options, bin, owner, directory, dataDirectory, port });
    return handle({ server, directory, dataDirectory, port, password, major: options.binaries.major });
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    if (options.signal.aborted) throw interruption(options.signal);
    throw error;
  }
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

interface Launch extends StartOptions {
  readonly bin: string;
  readonly owner: Owner | undefined;
  readonly directory: string;
  readonly dataDirectory: string;
}

/** Whom the server runs as: ourselves, or as root an unprivileged user. */
async function serverOwner(): Promise<Owner | undefined> {
  if (userInfo().uid !== 0) return undefined;
  for (const line of (await readFile('/etc/passwd', 'utf8')).split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name === 'postgres') return { uid: Number(uid), gid: Number(gid) };
  }
  return { uid: 65_534, gid: 65_534 };
}

/** The programs' folder, or a copy in the server's own directory when its user can't reach them. */
async function usableBinaries(
  binaries: ServerBinaries,
  at: { readonly owner: Owner | undefined; readonly directory: string },
): Promise<string> {
  if (at.owner === undefined || isTraversable(binaries.directory)) return binaries.directory;
  const copy = join(at.directory, 'programs');
  await cp(dirname(binaries.directory), copy, { recursive: true, verbatimSymlinks: true });
  return join(copy, 'bin');
}

function isTraversable(path: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

async function initdb(launch: Launch & { readonly password: string }): Promise<void> {
  const passwordFile = join(launch.directory, 'password');
  await writeFile(passwordFile, `${launch.password}\n`, { mode: 0o600 });
  if (launch.owner !== undefined) await chown(passwordFile, launch.owner.uid, launch.owner.gid);
  const locale = launch.initdb ?? [
    '--encoding=UTF8',
    `--locale=${process.platform === 'darwin' ? 'C' : 'C.UTF-8'}`,
  ];
  const result = await execa(
    join(launch.bin, 'initdb'),
    [
      '--pgdata',
      launch.dataDirectory,
      '--username=postgres',
      '--auth=scram-sha-256',
      `--pwfile=${passwordFile}`,
      '--no-sync',
      ...locale,
    ],
    {
      ...launch.owner,
      reject: false,
      all: true,
      cancelSignal: launch.signal,
      env: { LC_ALL: 'C.UTF-8' },
      stdin: 'ignore',
    },
  );
  await rm(passwordFile);
  if (result.exitCode !== 0) {
    throw new Failure('server.unavailable', `initdb failed: ${result.all.slice(-1000)}`, {
      facts: { directory: launch.binaries.directory },
      cause: result.cause,
    });
  }
}

/** A running server. Not execa's promise itself: an async function that returned it would wait for its end. */
interface Running {
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<unknown>;
}

async function launch(options: Launch & { readonly port: number }): Promise<Running> {
  const settings = Object.entries({
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    logging_collector: 'off',
    ...options.settings,
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const log = createWriteStream(join(options.directory, 'log'), { mode: 0o600 });
  const server = execa(
    'sh',
    [
      '-c',
      TIED_TO_STDIN,
      'sh',
      join(options.bin, 'postgres'),
      '-D',
      options.dataDirectory,
      '-p',
      String(options.port),
      ...settings,
    ],
    {
      ...options.owner,
      stdin: 'pipe',
      stdout: 'ignore',
      stderr: 'pipe',
      reject: false,
      buffer: false,
      cleanup: true,
      env: { LC_ALL: 'C.UTF-8' },
    },
  );
  const said: string[] = [];
  const ready = Promise.withResolvers<boolean>();
  const lines = createInterface({ input: server.stderr as NodeJS.ReadableStream });
  lines.on('line', (line) => {
    log.write(`${line}\n`);
    if (said.length < 50) said.push(line);
    if (line.includes('database system is ready to accept connections')) ready.resolve(true);
  });
  lines.on('close', () => {
    log.end();
    ready.resolve(false);
  });
  const timer = setTimeout(() => ready.resolve(false), READY_MS);
  const stop = (): void => ready.resolve(false);
  options.signal.addEventListener('abort', stop);
  const isReady = await ready.promise;
  clearTimeout(timer);
  options.signal.removeEventListener('abort', stop);
  if (isReady) return { kill: (signal) => void server.kill(signal), ended: server };
  server.kill('SIGKILL');
  await server;
  throw new Failure(
    'server.unavailable',
    `PostgreSQL ${options.binaries.major} did not start: ${said.slice(-5).join(' · ')}`,
    {
      facts: { directory: options.binaries.directory },
    },
  );
}

function handle(running: {
  readonly server: Running;
  readonly directory: string;
  readonly dataDirectory: string;
  readonly port: number;
  readonly password: string;
  readonly major: number;
}): ThrowawayServer {
  const { server, port, password } = running;
  const stop = async (mode: 'fast' | 'immediate' = 'fast'): Promise<void> => {
    server.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    const timer = setTimeout(() => server.kill('SIGQUIT'), STOP_MS);
    await server.ended;
    clearTimeout(timer);
  };
  return {
    major: running.major,
    port,
    password,
    dataDirectory: running.dataDirectory,
    url: (database = 'postgres') =>
      `postgresql://postgres:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`,
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop();
      await rm(running.directory, { recursive: true, force: true });
    },
  };
}

/** A port that was free a moment ago; the server says so if it is not any more. */
async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
