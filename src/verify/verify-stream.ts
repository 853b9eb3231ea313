import { createHash } from 'node:crypto';
import type { Opener } from '../archive/age.ts';
import { checked } from '../archive/digest.ts';
import { lsnOf } from '../archive/run-document.ts';
import type { RunDocument } from '../archive/run-document.ts';
import { readPart, readSegment, recordsOf, transactionsOf } from '../archive/segment-reader.ts';
import type { StoredRun } from '../archive/segment-reader.ts';
import type { RunFacts } from '../archive/stream-documents.ts';
import { readCut } from '../catalog/cuts.ts';
import { keys } from '../catalog/keys.ts';
import { pieces } from '../catalog/pieces.ts';
import type { Repository } from '../catalog/repository.ts';
import type { ListedSegment } from '../catalog/segment-facts.ts';
import { listChapters, listSegments, readStream } from '../catalog/streams.ts';
import type { StreamAddress } from '../catalog/streams.ts';
import { throwIfAborted } from '../model/failure.ts';
import type { Finding } from '../model/finding.ts';
import { foundBy } from './found-by.ts';
import { chainFindings, chapterFindings } from './stream-findings.ts';
import type { Cut, SeenSegment } from './stream-findings.ts';
import { readChapter } from '../catalog/read-chapter.ts';

export interface VerifyStreamOptions {
  /** Also decrypt and decompress, and read every record. Needs the private key of an encrypted stream. */
  readonly deep: boolean;
  readonly opener: Opener | undefined;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
}

export interface StreamReport {
  readonly stream: string;
  readonly objects: number;
  readonly bytes: number;
  readonly transactions: number;
  /** Without errors: everything is as it was stored, and nothing is missing. */
  readonly findings: readonly Finding[];
}

/**
 * Reads every segment of a stream and every part that a run lists, without a key: digests, facts, the chain, that
 * nothing is missing in between, and that chapters say the same. What is missing, changed or out of order is named
 * (I 44). Not seen: that the end was cut off; only the slot knows how far it was.
 */
export async function verifyStream(
  repository: Repository,
  at: StreamAddress,
  options: VerifyStreamOptions,
): Promise<StreamReport> {
  return new StreamCheck(repository, at, options).run();
}

class StreamCheck {
  readonly #repository: Repository;
  readonly #at: StreamAddress;
  readonly #options: VerifyStreamOptions;
  readonly #findings: Finding[] = [];
  readonly #listedParts = new Set<string>();
  #bytes = 0;
  #totalBytes = 0;
  #objects = 0;
  #transactions = 0;

  constructor(repository: Repository, at: StreamAddress, options: VerifyStreamOptions) {
    this.#repository = repository;
    this.#at = at;
    this.#options = options;
  }

  async run(): Promise<StreamReport> {
    const stream = await readStream(this.#repository, this.#at, this.#options);
    const listed = await listSegments(this.#repository, this.#at, this.#options);
    const chapters = await listChapters(this.#repository, this.#at, this.#options);
    this.#totalBytes = listed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.#objects = 1 + listed.length + chapters.length;
    const seen: SeenSegment[] = [];
    for (const segment of listed) seen.push(await this.#segment(segment));
    const found = pieces(seen);
    const start = lsnOf(stream.document.start);
    const cut = await this.#cut();
    this.#findings.push(...chainFindings(found, { start, genesis: stream.sha256, cut, all: seen }));
    for (const chapter of chapters) {
      const document = await this.#find(chapter.key, () =>
        readChapter(this.#repository, chapter, {
          stream: this.#at.stream,
          signal: this.#options.signal,
        }),
      );
      if (document !== undefined)
        this.#findings.push(...chapterFindings(document, { key: chapter.key, seen, found, cut }));
    }
    return {
      stream: this.#at.stream,
      objects: this.#objects + this.#listedParts.size,
      bytes: this.#bytes,
      transactions: this.#transactions,
      findings: this.#findings,
    };
  }

  async #cut(): Promise<Cut | undefined> {
    const found = await this.#find('cut', () => readCut(this.#repository, this.#at, this.#options));
    return found && { at: lsnOf(found.at), previous: found.previous };
  }

  /** Without digests when it could not be read: then it is named for that, and not missed besides. */
  async #segment(segment: ListedSegment): Promise<SeenSegment> {
    const runs: RunDocument[] = [];
    const digest = createHash('sha256');
    const { deep, opener } = this.#options;
    const whole = await this.#find(segment.key, async () => {
      for await (const run of readSegment(this.#body(segment.key, digest), {
        ...segment,
        stream: this.#at.stream,
        trust: this.#repository.trust,
      })) {
        runs.push({ facts: run.facts, chain: run.chain });
        this.#transactions += run.facts.transactions;
        if (deep) await readDeep(run, opener);
      }
      return true;
    });
    const { from, to, sizeBytes } = segment;
    if (whole === undefined) return { from, to, sizeBytes };
    for (const run of runs) for (const part of run.facts.parts) await this.#part(part);
    const [first, last] = [runs[0], runs.at(-1)];
    return {
      from,
      to,
      sizeBytes,
      runs,
      previous: first?.facts.previous,
      chain: last?.chain,
      sha256: digest.digest('hex'),
    };
  }

  async #part(listed: RunFacts['parts'][number]): Promise<void> {
    if (this.#listedParts.has(listed.name)) return;
    this.#listedParts.add(listed.name);
    this.#totalBytes += listed.sizeBytes;
    const key = keys.streamObject(this.#at.source, this.#at.stream, listed.name);
    await this.#find(key, async () => {
      const { deep, opener } = this.#options;
      if (deep) await drain(readPart(this.#body(key), listed, { stream: this.#at.stream, opener }));
      else await drain(checked(this.#body(key), { ...listed, key }));
    });
  }

  async *#body(key: string, digest?: { update(chunk: Uint8Array): unknown }): AsyncGenerator<Uint8Array> {
    for await (const chunk of await this.#repository.store.get(key, this.#options)) {
      digest?.update(chunk);
      this.#bytes += chunk.length;
      this.#options.onProgress(this.#bytes, this.#totalBytes);
      yield chunk;
    }
  }

  #find<T>(what: string, look: () => Promise<T>): Promise<T | undefined> {
    throwIfAborted(this.#options.signal);
    return foundBy(what, look, this.#findings);
  }
}

/** Opens every member: transactions and records must fit what the facts say. */
async function readDeep(run: StoredRun, opener: Opener | undefined): Promise<void> {
  for await (const member of run.members()) {
    const values: Iterable<unknown> =
      (await transactionsOf(member, run.facts, opener)) ?? (await recordsOf(member, opener));
    const all = values[Symbol.iterator]();
    while (all.next().done !== true);
  }
}

async function drain(values: AsyncIterable<unknown>): Promise<void> {
  const all = values[Symbol.asyncIterator]();
  while ((await all.next()).done !== true);
}
