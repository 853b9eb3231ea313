import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Dirent } from 'node:fs';
import { link, mkdir, open, readdir, rename, rm, stat, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Failure, interruption, throwIfAborted } from '../model/failure.ts';
import { failpoint } from '../runtime/failpoints.ts';
import type {
  CallOptions,
  GetOptions,
  ListOptions,
  ObjectStat,
  OpenPut,
  PutBody,
  PutOptions,
  PutResult,
  Store,
} from './store.ts';
import { checkedKey, digestOf, isKey, refuseUnlessLease } from './store-rules.ts';

/** Names of files that are being written; `list` does not show them, and a crash may leave one. */
const TEMPORARY_PREFIX = '.tidemark-writing-';

/**
 * A folder as an object store. A put writes a temporary file beside the object, syncs it, links it to its name
 * (which fails when the name is taken: nothing is ever overwritten) and syncs the directory, so that an object
 * that exists is whole and stays after a power cut. Files are 0600, folders 0700.
 */
export function createFolderStore(options: { readonly root: string }): Store {
  return new FolderStore(resolve(options.root));
}

class FolderStore implements Store {
  readonly location: string;
  readonly capabilities = { conditionalPut: true, objectLock: false, atomicReplace: true };
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
    this.location = root;
  }

  async putIfAbsent(key: string, body: PutBody, options: PutOptions): Promise<PutResult> {
    const path = this.#path(key);
    const written = await this.#write(path, body, options.signal);
    try {
      await failpoint('folder.written');
      throwIfAborted(options.signal);
      await link(written.temporary, path);
      await failpoint('folder.linked');
      await syncDirectory(dirname(path));
      await failpoint('folder.synced');
      return { outcome: 'created', sizeBytes: written.sizeBytes, sha256: written.sha256 };
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw folderFailure(error, key);
      const there = await this.#digest(path, options.signal);
      const same = there.sizeBytes === written.sizeBytes && there.sha256 === written.sha256;
      return { outcome: same ? 'same' : 'differs', sizeBytes: written.sizeBytes, sha256: written.sha256 };
    } finally {
      await rm(written.temporary, { force: true });
    }
  }

  async get(key: string, options: GetOptions): Promise<AsyncIterable<Uint8Array>> {
    const path = this.#path(key);
    throwIfAborted(options.signal);
    const { range } = options;
    try {
      const handle = await open(path, 'r');
      return read(handle, { key, range, signal: options.signal });
    } catch (error) {
      throw folderFailure(error, key);
    }
  }

  async stat(key: string, options: CallOptions): Promise<ObjectStat | undefined> {
    throwIfAborted(options.signal);
    try {
      const found = await stat(this.#path(key));
      return found.isFile() ? { key, sizeBytes: found.size, modified: found.mtime } : undefined;
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw folderFailure(error, key);
    }
  }

  async *list(prefix: string, options: ListOptions): AsyncIterable<ObjectStat> {
    const slash = prefix.lastIndexOf('/');
    const { after = '' } = options;
    const keys: string[] = [];
    await this.#collect(prefix.slice(0, slash + 1), { keys, after, signal: options.signal });
    // What is no key was put there by someone else: a note, a desktop's index of its own.
    const isListed = (key: string): boolean => key.startsWith(prefix) && key > after && isKey(key);
    const ours = keys.filter(isListed);
    for (const key of ours.sort(byBytes)) {
      const found = await this.stat(key, options);
      if (found !== undefined) yield found;
    }
  }

  async delete(key: string, options: CallOptions): Promise<void> {
    throwIfAborted(options.signal);
    try {
      await unlink(this.#path(key));
    } catch (error) {
      if (!isAbsent(error)) throw folderFailure(error, key);
    }
  }

  async *openPuts(prefix: string, options: CallOptions): AsyncIterable<OpenPut> {
    const names: string[] = [];
    await this.#collect(prefix.slice(0, prefix.lastIndexOf('/') + 1), {
      keys: [],
      temporary: names,
      after: '',
      signal: options.signal,
    });
    for (const key of names.filter((name) => name.startsWith(prefix) && isKey(name)).sort(byBytes)) {
      const found = await this.stat(key, options);
      if (found !== undefined) yield { key, id: '', since: found.modified };
    }
  }

  async abandon({ key }: OpenPut, options: CallOptions): Promise<void> {
    // Anything else is an object, or somebody else's.
    if (basename(key).startsWith(TEMPORARY_PREFIX)) await this.delete(key, options);
  }

  async replace(key: string, body: Uint8Array, options: CallOptions): Promise<void> {
    refuseUnlessLease(key);
    const path = this.#path(key);
    const written = await this.#write(path, body, options.signal);
    try {
      await rename(written.temporary, path);
      await syncDirectory(dirname(path));
    } catch (error) {
      await rm(written.temporary, { force: true });
      throw folderFailure(error, key);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #path(key: string): string {
    return join(this.#root, checkedKey(key));
  }

  async #write(
    path: string,
    body: PutBody,
    signal: AbortSignal,
  ): Promise<{ temporary: string; sizeBytes: number; sha256: string }> {
    throwIfAborted(signal);
    const temporary = join(dirname(path), `${TEMPORARY_PREFIX}${randomUUID()}`);
    let handle: FileHandle | undefined;
    const digest = createHash('sha256');
    let sizeBytes = 0;
    try {
      await makeFolder(dirname(path));
      handle = await open(temporary, 'wx', 0o600);
      for await (const chunk of body instanceof Uint8Array ? [body] : body) {
        throwIfAborted(signal);
        digest.update(chunk);
        sizeBytes += chunk.length;
        await writeAll(handle, chunk);
      }
      await handle.sync();
      await handle.close();
      return { temporary, sizeBytes, sha256: digest.digest('hex') };
    } catch (error) {
      await handle?.close().catch(() => undefined);
      await rm(temporary, { force: true }).catch(() => undefined);
      throw signal.aborted ? interruption(signal) : folderFailure(error, path);
    }
  }

  async #digest(path: string, signal: AbortSignal): Promise<{ sizeBytes: number; sha256: string }> {
    return digestOf(createReadStream(path, { signal }));
  }

  async #collect(
    folder: string,
    found: {
      readonly keys: string[];
      /** What is being written, or was. */
      readonly temporary?: string[];
      readonly after: string;
      readonly signal: AbortSignal;
    },
  ): Promise<void> {
    throwIfAborted(found.signal);
    let entries: Dirent[];
    try {
      entries = await readdir(join(this.#root, folder), { withFileTypes: true });
    } catch (error) {
      if (isAbsent(error)) return;
      throw folderFailure(error, folder);
    }
    for (const entry of entries) {
      const path = `${folder}${entry.name}`;
      // All keys of a folder come before `after` when the folder does and does not lead to it.
      const isBefore = `${path}/` < found.after && !found.after.startsWith(`${path}/`);
      if (entry.isDirectory() && !isBefore) await this.#collect(`${path}/`, found);
      else if (entry.isFile() && entry.name.startsWith(TEMPORARY_PREFIX)) found.temporary?.push(path);
      else if (entry.isFile()) found.keys.push(path);
    }
  }
}

const READ_BYTES = 1024 * 1024;

async function* read(
  handle: FileHandle,
  what: { readonly key: string; readonly range: GetOptions['range']; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  try {
    let position = what.range?.offset ?? 0;
    const end = what.range === undefined ? Infinity : position + what.range.length;
    while (position < end) {
      throwIfAborted(what.signal);
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, end - position));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (error) {
    throw folderFailure(error, what.key);
  } finally {
    await handle.close();
  }
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) at += (await handle.write(chunk, at)).bytesWritten;
}

/** Syncs the parents of every folder that it made: an object in a folder that a power cut takes away is lost too. */
async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) {
    await syncDirectory(dirname(made)).catch((error: unknown) => {
      // One may make folders in a folder that one can't read, and so can't open to sync.
      if (systemCode(error) !== 'EACCES') throw error;
    });
  }
}

/** Without it a new name may be gone after a power cut, though the file's bytes are safe (fsync(2)). */
async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function isAbsent(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

function systemCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function folderFailure(error: unknown, key: string): Failure {
  if (error instanceof Failure) return error;
  const facts = { object: key, system: systemCode(error) };
  switch (systemCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new Failure('repository.full', `no space left to write ${key}`, { facts, cause: error });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new Failure('repository.permission', `no right to use ${key}`, { facts, cause: error });
    case 'ENOENT':
    case 'ENOTDIR':
      return new Failure('repository.object_missing', `${key} is not there`, { facts, cause: error });
    default:
      // What the body's own source threw keeps its words: it is no fault of the folder.
      return new Failure(
        'repository.error',
        `${key}: ${error instanceof Error ? error.message : String(error)}`,
        {
          facts,
          cause: error,
        },
      );
  }
}
