import { encodeMemberList } from '../archive/member-list.ts';
import type { Member, StoredObject } from '../archive/manifest.ts';
import { TarWriter } from '../archive/tar-writer.ts';
import { Failure, asFailure } from '../model/failure.ts';
import { failpoint } from '../runtime/failpoints.ts';
import type { PutResult, Store } from '../storage/store.ts';

export interface FinishedArchive {
  readonly data: StoredObject;
  readonly members: StoredObject;
}

interface OutputOptions {
  readonly store: Store;
  /** Key of an object of this snapshot by its name. */
  readonly keyOf: (name: string) => string;
  /** Number of the next archive of the snapshot, counted over all workers. */
  readonly nextNumber: () => number;
  /** An archive that has reached this size is closed before the next member. */
  readonly rollBytes: number;
  readonly modified: Date;
  readonly signal: AbortSignal;
}

interface OpenArchive {
  readonly name: string;
  readonly tar: TarWriter;
  readonly put: Promise<PutResult>;
  readonly members: Member[];
  sizeBytes: number;
}

/**
 * One worker's way into the repository: members in, archives out, one open at a time. An archive is uploaded
 * while it is written. After a failure nothing more is accepted, and the upload under way is aborted.
 */
export class ArchiveOutput {
  readonly #options: OutputOptions;
  readonly #finished: FinishedArchive[] = [];
  #open: OpenArchive | undefined;

  constructor(options: OutputOptions) {
    this.#options = options;
  }

  /**
   * Appends a member; resolves when the archive took it, which is where back-pressure comes from. The content is the
   * archive's then: its memory is released when it was read.
   */
  async add(member: Omit<Member, 'offset' | 'sizeBytes' | 'rows'>, stored: Buffer): Promise<void> {
    if (this.#open !== undefined && this.#open.sizeBytes >= this.#options.rollBytes)
      await this.#close(this.#open);
    const archive = (this.#open ??= this.#start());
    const sizeBytes = stored.length;
    const { offset } = await orWhyUploadFailed(archive, () => archive.tar.add(member.name, stored));
    archive.members.push({ ...member, offset, sizeBytes });
    archive.sizeBytes = offset + sizeBytes;
    await failpoint('snapshot.part-added');
  }

  /** Marks the member added last as its range's last one. */
  endRange(rows: bigint): void {
    const last = this.#open?.members.pop();
    if (last === undefined) throw new Error('a range ended before it had a member');
    this.#open?.members.push({ ...last, rows: rows.toString() });
  }

  /** Closes the open archive; what was written in all, in order. */
  async finish(): Promise<readonly FinishedArchive[]> {
    if (this.#open !== undefined) await this.#close(this.#open);
    return this.#finished;
  }

  /** Ends the upload under way without an object. Never throws. */
  async abort(reason: unknown): Promise<void> {
    if (this.#open === undefined) return;
    this.#open.tar.abort(asFailure(reason));
    await Promise.allSettled([this.#open.put]);
    this.#open = undefined;
  }

  #start(): OpenArchive {
    const name = `data-${String(this.#options.nextNumber()).padStart(4, '0')}`;
    const tar = new TarWriter({ modified: this.#options.modified });
    const put = this.#options.store.putIfAbsent(this.#options.keyOf(`${name}.tar`), tar.body, {
      signal: this.#options.signal,
      contentType: 'application/x-tar',
    });
    // A failed upload reads no more: whoever waits in `add` must hear of it.
    put.catch((error: unknown) => tar.abort(asFailure(error)));
    return { name, tar, put, members: [], sizeBytes: 0 };
  }

  async #close(archive: OpenArchive): Promise<void> {
    await orWhyUploadFailed(archive, () => archive.tar.finish());
    const data = stored(`${archive.name}.tar`, await archive.put);
    this.#open = undefined;
    await failpoint('snapshot.archive-closed');
    const listName = `${archive.name}.members.jsonl.zst`;
    const list = await encodeMemberList(archive.members);
    const put = await this.#options.store.putIfAbsent(this.#options.keyOf(listName), list, {
      signal: this.#options.signal,
    });
    await failpoint('snapshot.list-written');
    this.#finished.push({ data, members: stored(listName, put) });
  }
}

/** An archive that nobody reads any more breaks; why nobody does is the upload's to tell. */
async function orWhyUploadFailed<T>(archive: OpenArchive, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    await archive.put;
    throw error;
  }
}

/** What a finished put stored. Fails with `repository.exists_differs`: ids are unique, so this is foreign. */
export function stored(name: string, put: PutResult): StoredObject {
  if (put.outcome === 'differs') {
    throw new Failure('repository.exists_differs', `another object holds the name ${name}`, {
      facts: { object: name },
    });
  }
  return { name, sizeBytes: put.sizeBytes, sha256: put.sha256 };
}
