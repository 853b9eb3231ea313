import { packPart, packRun, packSegment } from '../archive/segment-writer.ts';
import type { PackedPart, PackedRun } from '../archive/segment-writer.ts';
import type { Sealer } from '../archive/age.ts';
import { sha256Hex } from '../archive/digest.ts';
import { release } from '../archive/external-memory.ts';
import { lsnOf } from '../archive/run-document.ts';
import type { TakenPart, TakenRun } from '../archive/run-writer.ts';
import type { GapDocument, MarkDocument, RunFacts } from '../archive/stream-documents.ts';
import type { ChapterSegment } from '../catalog/chapter-of.ts';
import { publishGap, publishMark, publishPart, publishSegment } from '../catalog/publish-stream.ts';
import type { Repository } from '../catalog/repository.ts';
import type { StreamAddress } from '../catalog/streams.ts';
import { asFailure } from '../model/failure.ts';
import type { Failure } from '../model/failure.ts';
import type { Lsn } from '../model/lsn.ts';
import { failpoint } from '../runtime/failpoints.ts';

/** A run, with what its transactions said. */
export interface RunToStore {
  readonly id: number;
  readonly taken: TakenRun;
  readonly heartbeats: RunFacts['heartbeats'];
  readonly schemaChanges: RunFacts['schemaChanges'];
  readonly ddl: RunFacts['ddl'];
  /** Stored before it: once it counts, nobody reads its messages again. */
  readonly marks: readonly MarkDocument[];
  readonly gaps: readonly GapDocument[];
}

export interface PartToStore {
  readonly id: number;
  readonly taken: TakenPart;
  readonly finalLsn: Lsn;
  /** Of one transaction, as it comes in one session. */
  readonly attempt: string;
  readonly number: number;
}

interface LineOptions {
  readonly repository: Repository;
  readonly at: StreamAddress;
  /** What the first run is chained to. */
  readonly chain: string;
  readonly sealer: Sealer | undefined;
  /** Durable. Called in order. */
  readonly onStored: (ids: readonly number[], segment: ChapterSegment | undefined) => void;
  /** The store does not take it now; it is tried again. */
  readonly onTrouble: (failure: Failure) => void;
  /** It will never be stored; nothing that comes after it is tried. */
  readonly onRefused: (failure: Failure) => void;
  readonly signal: AbortSignal;
}

interface Packed {
  readonly ids: readonly number[];
  readonly run: PackedRun;
  readonly to: RunToStore;
}

/** Parts that are sent at once. */
const PARALLEL = 4;
/** Stored bytes; runs that wait go together into one object. */
const MOST_SEGMENT_BYTES = 64 * 1024 * 1024;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 30_000;

/**
 * The way into the store. Runs are packed in order, because of the chain, and stored in order: an object behind a hole
 * would be taken for the stream's end by whoever goes on after a crash. What waits goes together into the next
 * segment, so that a slow store gets larger objects; parts of a large transaction are sent several at a time, since
 * they count only by the run that lists them. A store that stumbles is waited for: nothing is given up.
 */
export class StorageLine {
  readonly #options: LineOptions;
  #chain: string;
  #packing: Promise<void> = Promise.resolve();
  readonly #packed: Packed[] = [];
  #publishing = false;
  /** Of the transaction that is open, or is the first of the next run. */
  #parts: Promise<Pick<PackedPart, 'listed'>>[] = [];
  readonly #sending = new Set<Promise<unknown>>();
  #broken = false;

  constructor(options: LineOptions) {
    this.#options = options;
    this.#chain = options.chain;
  }

  addRun(run: RunToStore): void {
    const parts = this.#parts;
    this.#parts = [];
    this.#then(async () => {
      const listed = await Promise.all(parts);
      const packed = await packRun(run.taken, {
        stream: this.#options.at.stream,
        previous: this.#chain,
        sealer: this.#options.sealer,
        heartbeats: run.heartbeats,
        schemaChanges: run.schemaChanges,
        ddl: run.ddl,
        signer: this.#options.repository.signer,
        parts: listed,
      });
      this.#chain = packed.chain;
      await failpoint('capture.run-packed');
      this.#packed.push({ ids: [run.id], run: packed, to: run });
      void this.#publish();
    });
  }

  addPart(part: PartToStore): void {
    const { promise, resolve, reject } = Promise.withResolvers<Pick<PackedPart, 'listed'>>();
    promise.catch(() => undefined);
    this.#parts.push(promise);
    this.#then(async () => {
      while (this.#sending.size >= PARALLEL) await Promise.race(this.#sending);
      const { listed, ...packed } = await packPart(part.taken, {
        ...part,
        stream: this.#options.at.stream,
        sealer: this.#options.sealer,
        modified: new Date(),
      });
      const sent = this.#sendPart(part.id, packed).then(
        () => resolve({ listed }),
        (error: unknown) => {
          reject(error);
          this.#refuse(error);
        },
      );
      this.#sending.add(sent);
      void sent.finally(() => this.#sending.delete(sent));
    });
  }

  /** An open transaction is gone with its session. */
  forgetParts(): void {
    this.#parts = [];
  }

  async #sendPart(id: number, packed: Pick<PackedPart, 'name' | 'bytes'>): Promise<void> {
    await this.#insist((signal) =>
      publishPart(this.#options.repository, { ...this.#options.at, ...packed }, { signal }),
    );
    release(packed.bytes);
    await failpoint('capture.part-stored');
    this.#options.onStored([id], undefined);
  }

  #then(work: () => Promise<void>): void {
    this.#packing = this.#packing
      .then(() => (this.#broken ? undefined : work()))
      .catch((error: unknown) => this.#refuse(error));
  }

  async #publish(): Promise<void> {
    if (this.#publishing) return;
    this.#publishing = true;
    try {
      while (this.#packed.length > 0 && !this.#broken) await this.#publishNext(this.#takePacked());
    } catch (error) {
      this.#refuse(error);
    } finally {
      this.#publishing = false;
    }
  }

  #takePacked(): Packed[] {
    let bytes = 0;
    const upTo = this.#packed.findIndex(({ run }) => {
      bytes += run.members.reduce((sum, member) => sum + member.bytes.length, 0);
      return bytes > MOST_SEGMENT_BYTES;
    });
    return this.#packed.splice(0, upTo === -1 ? this.#packed.length : Math.max(1, upTo));
  }

  async #publishNext(packed: readonly Packed[]): Promise<void> {
    const { repository, at } = this.#options;
    const [first, last] = [packed[0], packed.at(-1)];
    if (first === undefined || last === undefined) return;
    for (const { to } of packed) await this.#publishWords(to);
    const documents = packed.map(({ run }) => ({ facts: run.facts, chain: run.chain }));
    const bytes = await packSegment(
      packed.map(({ run }) => run),
      { modified: new Date() },
    );
    const stretch = { from: lsnOf(first.run.facts.from), to: lsnOf(last.run.facts.to) };
    await this.#insist((signal) => publishSegment(repository, { ...at, ...stretch, bytes }, { signal }));
    const segment = { ...stretch, sizeBytes: bytes.length, sha256: sha256Hex(bytes), runs: documents };
    release(bytes);
    await failpoint('capture.segment-stored');
    this.#options.onStored(
      packed.flatMap(({ ids }) => ids),
      segment,
    );
    await failpoint('capture.confirmed');
  }

  async #publishWords({ marks, gaps }: RunToStore): Promise<void> {
    const { repository } = this.#options;
    for (const mark of marks) await this.#insist((signal) => publishMark(repository, mark, { signal }));
    for (const gap of gaps) await this.#insist((signal) => publishGap(repository, gap, { signal }));
  }

  /** Again and again, until it is stored, or never will be. */
  async #insist(put: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal, onTrouble } = this.#options;
    for (let wait = FIRST_RETRY_MS; ; wait = Math.min(2 * wait, LAST_RETRY_MS)) {
      try {
        return await put(signal);
      } catch (error) {
        const failure = asFailure(error);
        if (!mayPass(failure) || signal.aborted) throw failure;
        onTrouble(failure);
        await pause(wait, signal);
      }
    }
  }

  #refuse(error: unknown): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#options.onRefused(asFailure(error));
  }
}

/** What a store says that may be otherwise in a while, also when somebody has to see to it. */
function mayPass(failure: Failure): boolean {
  return failure.code.startsWith('repository.') && failure.code !== 'repository.newer_format';
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}
