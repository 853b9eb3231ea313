import { FORMAT_VERSION } from '../archive/manifest.ts';
import type { PruneMark } from '../archive/retention-documents.ts';
import { lsnOf } from '../archive/run-document.ts';
import { publishCut, readCut } from '../catalog/cuts.ts';
import { keys } from '../catalog/keys.ts';
import type { Repository } from '../catalog/repository.ts';
import { asFailure, throwIfAborted } from '../model/failure.ts';
import { formatLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { failpoint } from '../runtime/failpoints.ts';
import type { Leftover } from './leftovers.ts';
import type { Doomed } from './marks.ts';
import type { SnapshotRemoval } from './prepare.ts';
import type { StreamRemoval } from './stream-removal.ts';

export interface Removed {
  readonly snapshots: readonly string[];
  readonly cuts: readonly { readonly stream: string; readonly at: Lsn }[];
  readonly leftovers: readonly string[];
  readonly objects: number;
  readonly bytes: number;
}

interface RemoveOptions {
  readonly source: string;
  readonly program: string;
  readonly signal: AbortSignal;
}

/** Deletes under way at once: enough to hide a round trip. */
const AT_ONCE = 8;

/**
 * Takes away what is doomed, each thing in an order that leaves something whole at any moment. What the store does
 * not let go is told, and the rest goes on.
 */
export async function remove(
  repository: Repository,
  doomed: Doomed,
  options: RemoveOptions,
): Promise<{ readonly removed: Removed; readonly heldBack: readonly string[] }> {
  const run = new Removal(repository, options);
  for (const snapshot of doomed.snapshots)
    if (await run.try(`snapshot ${snapshot.id}`, () => run.snapshot(snapshot))) {
      run.snapshots.push(snapshot.id);
      run.count(snapshot);
    }
  for (const stream of doomed.streams)
    if (await run.try(`stream ${stream.stream}`, () => run.stream(stream))) {
      run.cuts.push({ stream: stream.stream, at: stream.at });
      run.count(stream);
    }
  for (const leftover of doomed.leftovers)
    if (await run.try(leftover.prefix, () => run.leftover(leftover))) {
      run.leftovers.push(leftover.prefix);
      run.count(leftover);
    }
  const { snapshots, cuts, leftovers, objects, bytes, heldBack } = run;
  return { removed: { snapshots, cuts, leftovers, objects, bytes }, heldBack };
}

/** Snapshots that a prune which was killed had begun to remove: without a manifest they are none any more. */
export async function finishHalfGone(
  repository: Repository,
  mark: PruneMark,
  options: RemoveOptions,
): Promise<void> {
  const run = new Removal(repository, options);
  for (const id of mark.snapshots) {
    const { store } = repository;
    if ((await store.stat(keys.manifest(options.source, id), options)) !== undefined) continue;
    const left = await Array.fromAsync(store.list(keys.snapshot(options.source, id), options));
    await run.inOrder(left.map(({ key }) => key));
  }
}

class Removal {
  readonly snapshots: string[] = [];
  readonly cuts: { readonly stream: string; readonly at: Lsn }[] = [];
  readonly leftovers: string[] = [];
  readonly heldBack: string[] = [];
  objects = 0;
  bytes = 0;
  readonly #repository: Repository;
  readonly #options: RemoveOptions;

  constructor(repository: Repository, options: RemoveOptions) {
    this.#repository = repository;
    this.#options = options;
  }

  count(removal: { readonly keys: readonly string[]; readonly bytes: number }): void {
    this.objects += removal.keys.length;
    this.bytes += removal.bytes;
  }

  /** False when the store does not let it go: a lock, a rule of the bucket, a right that is missing. */
  async try(what: string, act: () => Promise<void>): Promise<boolean> {
    try {
      await act();
      return true;
    } catch (error) {
      const failure = asFailure(error);
      if (failure.code !== 'repository.permission') throw failure;
      this.heldBack.push(`${what}: ${failure.message}`);
      return false;
    }
  }

  async snapshot({ keys: [manifest, ...rest] }: SnapshotRemoval): Promise<void> {
    if (manifest !== undefined) await this.#repository.store.delete(manifest, this.#options);
    await failpoint('prune.manifest-removed');
    await this.inOrder(rest);
    await failpoint('prune.snapshot-removed');
  }

  async stream({ stream, at, previous, keys: doomed }: StreamRemoval): Promise<void> {
    const { source, program } = this.#options;
    const address = { source, stream };
    const there = await readCut(this.#repository, address, this.#options);
    if (there === undefined || lsnOf(there.at) < at) {
      const cut = {
        formatVersion: FORMAT_VERSION,
        kind: 'tidemark-cut',
        ...address,
        at: formatLsn(at),
        previous,
        createdBy: program,
        cutAt: new Date().toISOString(),
      } as const;
      await publishCut(this.#repository, cut, this.#options);
    }
    await failpoint('prune.cut-stored');
    await this.inOrder(doomed, () => failpoint('prune.object-removed'));
  }

  async leftover({ keys: doomed, puts = [] }: Leftover): Promise<void> {
    await this.inOrder(doomed);
    for (const put of puts) await this.#repository.store.abandon(put, this.#options);
  }

  /** Begun in this order; some at once. */
  async inOrder(doomed: readonly string[], then?: () => Promise<void> | undefined): Promise<void> {
    const queue = doomed.values();
    const work = async (): Promise<void> => {
      for (const key of queue) {
        throwIfAborted(this.#options.signal);
        await this.#repository.store.delete(key, this.#options);
        await then?.();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, () => work()));
  }
}

/** What no lock of the store keeps yet: a versioned bucket takes a delete, hides the object and frees nothing. */
export async function withoutLocked(
  { store }: Repository,
  doomed: Doomed,
  options: { readonly now: Date; readonly signal: AbortSignal },
): Promise<{ readonly free: Doomed; readonly heldBack: string[] }> {
  const heldBack: string[] = [];
  const free = async <T extends { readonly keys: readonly string[] }>(
    all: readonly T[],
    what: (one: T) => string,
  ): Promise<T[]> => {
    const found: T[] = [];
    for (const one of all) {
      const until = await lockedUntil(one.keys);
      if (until === undefined) found.push(one);
      else heldBack.push(`${what(one)}: the store keeps it until ${until.toISOString()}`);
    }
    return found;
  };
  /** Locks have one length, so what was stored last is locked for longest. */
  const lockedUntil = async (names: readonly string[]): Promise<Date | undefined> => {
    if (!store.capabilities.objectLock) return undefined;
    for (const key of [names[0], names.at(-1)]) {
      const until = key === undefined ? undefined : (await store.stat(key, options))?.lockedUntil;
      if (until !== undefined && until > options.now) return until;
    }
    return undefined;
  };
  return {
    free: {
      snapshots: await free(doomed.snapshots, ({ id }) => `snapshot ${id}`),
      streams: await free(doomed.streams, ({ stream, at }) => `stream ${stream} before ${formatLsn(at)}`),
      leftovers: await free(doomed.leftovers, ({ prefix }) => prefix),
    },
    heldBack,
  };
}
