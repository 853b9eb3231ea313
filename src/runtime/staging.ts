import { mkdtemp, readdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../model/failure.ts';
import { formatBytes } from '../model/quantities.ts';

const PREFIX = 'tidemark-staging-';

/** A folder of our own for plaintext, gone with all that is in it when it is disposed of. */
export interface Staging extends AsyncDisposable {
  readonly path: string;
}

/**
 * Makes a folder that only this user can enter, below one that the user named (P10). Fails with `staging.space`
 * when fewer than `needBytes` are free there, or `staging.unusable`.
 */
export async function openStaging(
  root: string,
  need: { readonly bytes: number; readonly what: string },
): Promise<Staging> {
  try {
    const { bavail, bsize } = await statfs(root);
    const free = bavail * bsize;
    if (free < need.bytes) {
      throw new Failure(
        'staging.space',
        `${root} has ${formatBytes(free)} free, ${need.what} may need ${formatBytes(need.bytes)}`,
        { facts: { directory: root, freeBytes: free, neededBytes: need.bytes } },
      );
    }
    // mkdtemp(3) makes it for its owner alone.
    const path = await mkdtemp(join(root, PREFIX));
    return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Failure('staging.unusable', `${root} can't be used as a staging folder: ${why}`, {
      facts: { directory: root },
      cause,
    });
  }
}

/** Folders that runs left which were killed, or which are at work. */
export async function findStagingFolders(root: string): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory() && entry.name.startsWith(PREFIX))
    .map((entry) => join(root, entry.name))
    .sort();
}
