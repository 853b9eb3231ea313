import { existsSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { findServerBinaries } from '../../src/server/binaries.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { rows } from './postgres.ts';
import { freePort } from './ports.ts';
import { until } from './until.ts';

/** Ends the server with this process, as `startServer` does. */
const TIED_TO_STDIN = 'exec 3<&0; (cat <&3 >/dev/null; kill -INT $$) & exec "$@" </dev/null 3<&-';

/** A copy of a stopped server's data directory, beside it: it goes with it. */
export async function copyOf(server: ThrowawayServer, name: string): Promise<string> {
  const copy = join(dirname(server.dataDirectory), name);
  await execa('cp', ['-a', server.dataDirectory, copy]);
  return copy;
}

/**
 * Starts a server on a data directory that is there: one that was stopped, or a copy. On the port of the one it is of,
 * or on one of its own. Disposing stops it and leaves the directory.
 */
export async function serverOn(
  original: ThrowawayServer,
  options: { readonly dataDirectory?: string; readonly ownPort?: true } = {},
): Promise<ThrowawayServer> {
  const { major, password } = original;
  const dataDirectory = options.dataDirectory ?? original.dataDirectory;
  const port = options.ownPort === true ? await freePort() : original.port;
  const settings = [
    'wal_level=logical',
    'fsync=off',
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
  ];
  const args = ['-D', dataDirectory, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])];
  const { uid, gid } = await stat(dataDirectory);
  await rm(join(dataDirectory, 'postmaster.pid'), { force: true });
  const running = execa('sh', ['-c', TIED_TO_STDIN, 'sh', join(programs(original), 'postgres'), ...args], {
    uid,
    gid,
    stdin: 'pipe',
    stdout: 'ignore',
    stderr: 'ignore',
    reject: false,
    buffer: false,
    env: { LC_ALL: 'C.UTF-8' },
  });
  const stop = async (mode: 'fast' | 'immediate' = 'fast'): Promise<void> => {
    running.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    await running;
  };
  const url = (database = 'postgres'): string =>
    `postgresql://postgres:${password}@127.0.0.1:${port}/${database}`;
  await until(() =>
    rows(url(), 'SELECT 1').then(
      () => true,
      () => false,
    ),
  );
  return { major, port, password, dataDirectory, url, stop, [Symbol.asyncDispose]: stop };
}

/** The same programs: copied beside the data where the server's user can't reach the installed ones. */
function programs({ major, dataDirectory }: ThrowawayServer): string {
  const copy = join(dirname(dataDirectory), 'programs', 'bin');
  if (existsSync(copy)) return copy;
  const found = findServerBinaries().find((one) => one.major === major && one.origin === 'embedded');
  if (found === undefined) throw new Error(`no programs of PostgreSQL ${major}`);
  return found.directory;
}
