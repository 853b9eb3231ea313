import { readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HOLDER_FILE, SERVER_FOLDER } from './start-server.ts';

/**
 * Removes what throw-away servers of programs that were killed have left on this machine: the server itself ends with its
 * holder, its folder does not. Returns the folders. A holder's number may be another process's by now; then its folder waits.
 */
export async function reapServers(): Promise<string[]> {
  const reaped: string[] = [];
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(SERVER_FOLDER)) continue;
    const folder = join(tmpdir(), name);
    const holder = await readFile(join(folder, HOLDER_FILE), 'utf8').catch(() => undefined);
    if (holder === undefined || isAlive(Number(holder))) continue;
    await rm(folder, { recursive: true, force: true });
    reaped.push(folder);
  }
  return reaped;
}

/** Signal 0 only asks; EPERM is a process of somebody else. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}
