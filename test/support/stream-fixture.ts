import { sha256Hex } from '../../src/archive/digest.ts';
import { FORMAT_VERSION } from '../../src/archive/manifest.ts';
import type { Manifest, TableEntry } from '../../src/archive/manifest.ts';
import { encodeRunDocument, parseRunDocument } from '../../src/archive/run-document.ts';
import { packSegment } from '../../src/archive/segment-writer.ts';
import type { GapDocument, RunFacts, StreamDocument } from '../../src/archive/stream-documents.ts';
import { chapterOf } from '../../src/catalog/chapter-of.ts';
import type { ChapterSegment } from '../../src/catalog/chapter-of.ts';
import { publishChapter, publishSegment, publishStream } from '../../src/catalog/publish-stream.ts';
import { ensureRepository } from '../../src/catalog/repository.ts';
import type { Repository } from '../../src/catalog/repository.ts';
import { asLsn, formatLsn } from '../../src/model/lsn.ts';
import { publishManifest, signManifest } from '../../src/catalog/snapshots.ts';
import type { Store } from '../../src/storage/store.ts';

const signal = new AbortController().signal;
const SERVER = {
  version: 180_000,
  systemIdentifier: '7123456789012345678',
  timeline: 1,
  databaseOid: 5,
  databaseName: 'app',
  encoding: 'UTF8',
};

export async function newRepository(store: Store): Promise<Repository> {
  const made = await ensureRepository(store, {
    recipientFingerprints: [],
    program: 'test',
    signer: undefined,
    trust: undefined,
    signal,
  });
  return made.repository;
}

export function streamDocument(
  repository: Repository,
  facts: Partial<StreamDocument> & { readonly id: string; readonly start: string },
): StreamDocument {
  return {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-stream',
    source: 'main',
    repositoryId: repository.document.repositoryId,
    createdBy: 'test',
    startedAt: '2026-11-23T10:00:00Z',
    slot: 'tidemark_main_abcdef',
    publications: [],
    server: SERVER,
    settings: {},
    ...facts,
  };
}

/** What a run says that has facts, but no data: enough for all that a plan looks at. */
export interface PlainRun {
  readonly to: bigint;
  /** Latest commit time so far. */
  readonly latest?: bigint | undefined;
  readonly heartbeats?: readonly { readonly position: bigint; readonly xid: bigint }[];
}

/** Writes a stream of runs without data, as one capture does. `fork` is a second one that knows what this one knows. */
export class StreamBuilder {
  readonly #repository: Repository;
  readonly id: string;
  #end: bigint;
  #chain: string;
  #latest: bigint | undefined;
  #segments: ChapterSegment[] = [];

  private constructor(
    repository: Repository,
    id: string,
    at: { end: bigint; chain: string; latest: bigint | undefined },
  ) {
    this.#repository = repository;
    this.id = id;
    this.#end = at.end;
    this.#chain = at.chain;
    this.#latest = at.latest;
  }

  static async begin(
    repository: Repository,
    options: { id: string; start: bigint; document?: Partial<StreamDocument> },
  ): Promise<StreamBuilder> {
    const { id, start } = options;
    const document = streamDocument(repository, { ...options.document, id, start: formatLsn(asLsn(start)) });
    const { sha256 } = await publishStream(repository, document, { signal });
    return new StreamBuilder(repository, id, { end: start, chain: sha256, latest: undefined });
  }

  get end(): bigint {
    return this.#end;
  }

  fork(): StreamBuilder {
    return new StreamBuilder(this.#repository, this.id, {
      end: this.#end,
      chain: this.#chain,
      latest: this.#latest,
    });
  }

  async segment(...runs: readonly PlainRun[]): Promise<void> {
    const from = this.#end;
    const packed = runs.map((run) => this.#run(run));
    const bytes = await packSegment(packed, { modified: new Date(0) });
    const stretch = { from: asLsn(from), to: asLsn(this.#end) };
    await publishSegment(
      this.#repository,
      { source: 'main', stream: this.id, ...stretch, bytes },
      { signal },
    );
    this.#segments.push({
      ...stretch,
      sizeBytes: bytes.length,
      sha256: sha256Hex(bytes),
      runs: packed.map(({ document }) => document),
    });
  }

  async chapter(): Promise<void> {
    const chapter = chapterOf(this.id, this.#segments);
    await publishChapter(this.#repository, { source: 'main', stream: this.id }, chapter, { signal });
    this.#segments = [];
  }

  #run(run: PlainRun) {
    this.#latest = run.latest ?? this.#latest;
    const facts: RunFacts = {
      formatVersion: FORMAT_VERSION,
      kind: 'tidemark-run',
      stream: this.id,
      from: formatLsn(asLsn(this.#end)),
      to: formatLsn(asLsn(run.to)),
      previous: this.#chain,
      transactions: 0,
      ...(this.#latest !== undefined && { latestCommitTime: this.#latest.toString() }),
      tables: [],
      messages: 0,
      heartbeats: (run.heartbeats ?? []).map(({ position, xid }) => ({
        position: formatLsn(asLsn(position)),
        xid: xid.toString(),
      })),
      ddl: 'exact',
      encryptedTo: [],
      plainBytes: 0,
      parts: [],
      members: [],
    };
    const { bytes, chain } = encodeRunDocument(facts);
    this.#end = run.to;
    this.#chain = chain;
    return { members: [{ name: 'segment.json', bytes }], document: parseRunDocument(bytes, 'segment.json') };
  }
}

export function tableEntry(oid: number, facts: Partial<TableEntry> = {}): TableEntry {
  return {
    number: oid,
    oid,
    schema: 'public',
    name: `t${oid}`,
    kind: 'table',
    persistence: 'permanent',
    columns: ['id'],
    data: 'included',
    rows: '0',
    copyBytes: '0',
    storedBytes: '0',
    ranges: 1,
    partitionOf: [],
    references: [],
    ...facts,
  };
}

export function manifestOf(
  repository: Repository,
  facts: Partial<Manifest> & Pick<Manifest, 'id' | 'tie'>,
): Manifest {
  return {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-snapshot',
    source: 'main',
    repositoryId: repository.document.repositoryId,
    engine: 'copy',
    createdBy: 'test',
    instant: '2026-11-23T10:00:00Z',
    startedAt: '2026-11-23T10:00:00Z',
    finishedAt: '2026-11-23T10:00:00Z',
    scope: { kind: 'whole' },
    server: { ...SERVER, versionText: '18.0', collate: 'C', ctype: 'C', profile: 'postgres', extensions: [] },
    tools: { pgDump: '18.0' },
    settings: {},
    copyFormat: 'text',
    compression: 'zstd',
    encryptedTo: [],
    tables: [],
    sequences: [],
    materializedViews: [],
    coverage: [],
    archives: [],
    parts: [],
    totals: { tables: 0, rows: '0', copyBytes: '0', storedBytes: '0' },
    ...facts,
  };
}

export async function storeManifest(repository: Repository, manifest: Manifest): Promise<void> {
  await publishManifest(repository, await signManifest(repository, manifest, { signal }), { signal });
}

export function gapOf(facts: Partial<GapDocument> & Pick<GapDocument, 'id' | 'from'>): GapDocument {
  return {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-gap',
    source: 'main',
    reason: 'slot-lost',
    noticedAt: '2026-11-23T10:00:00Z',
    ...facts,
  };
}

/** Passes everything on, and counts requests as a store that lists a thousand keys at once would see them. */
export function countingStore(store: Store): { readonly store: Store; count(): number } {
  let requests = 0;
  const one =
    <Args extends unknown[], Result>(act: (...args: Args) => Result) =>
    (...args: Args): Result => {
      requests += 1;
      return act(...args);
    };
  return {
    count: () => requests,
    store: {
      location: store.location,
      capabilities: store.capabilities,
      putIfAbsent: one((...args) => store.putIfAbsent(...args)),
      get: one((...args) => store.get(...args)),
      stat: one((...args) => store.stat(...args)),
      delete: one((...args) => store.delete(...args)),
      replace: one((...args) => store.replace(...args)),
      list: async function* (...args) {
        let listed = 0;
        requests += 1;
        for await (const object of store.list(...args)) {
          if (listed > 0 && listed % 1000 === 0) requests += 1;
          listed += 1;
          yield object;
        }
      },
      openPuts: one((...args) => store.openPuts(...args)),
      abandon: one((...args) => store.abandon(...args)),
      close: () => store.close(),
    },
  };
}
