import { lsnOf } from '../archive/run-document.ts';
import type { StreamDocument } from '../archive/stream-documents.ts';
import { segmentName } from '../archive/stream-names.ts';
import type { Stretch } from '../archive/stream-names.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import { formatLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { keys } from './keys.ts';
import { fits, pieces } from './pieces.ts';
import { readChapter } from './read-chapter.ts';
import type { Repository } from './repository.ts';
import { readSegmentFacts } from './segment-facts.ts';
import type { ListedSegment } from './segment-facts.ts';
import { knownSegment, summarise } from './stream-runs.ts';
import type { Heartbeat, KnownSegment, RunSummary } from './stream-runs.ts';
import { listChapters, listSegments, readStream } from './streams.ts';
import type { StreamAddress } from './streams.ts';

/** A chapter, or a segment that no chapter tells of yet. */
export interface Entry extends ListedSegment {
  readonly kind: 'chapter' | 'segment';
}

interface CallOptions {
  readonly signal: AbortSignal;
}

/**
 * A stream as it was when it was opened: the names of chapters and of the segments behind them, from three requests
 * or so. What a chapter or segment says is read when it is asked for, once. A time or position is found by halving,
 * so a month is planned like a day.
 */
export class StreamView {
  readonly repository: Repository;
  readonly document: StreamDocument;
  /** Of `stream.json`: where the chain begins. */
  readonly sha256: string;
  /** What is covered, in order; more than one when something is missing in between. */
  readonly pieces: readonly (readonly Entry[])[];
  readonly #known = new Map<string, Promise<KnownSegment[]>>();
  readonly #options: CallOptions;

  private constructor(
    repository: Repository,
    found: {
      readonly document: StreamDocument;
      readonly sha256: string;
      readonly pieces: readonly (readonly Entry[])[];
    },
    options: CallOptions,
  ) {
    this.repository = repository;
    this.document = found.document;
    this.sha256 = found.sha256;
    this.pieces = found.pieces;
    this.#options = options;
  }

  static async open(repository: Repository, at: StreamAddress, options: CallOptions): Promise<StreamView> {
    const { document, sha256 } = await readStream(repository, at, options);
    const entries = await listEntries(repository, { at, start: lsnOf(document.start) }, options);
    return new StreamView(repository, { document, sha256, pieces: pieces(entries) }, options);
  }

  get id(): string {
    return this.document.id;
  }

  get start(): Lsn {
    return lsnOf(this.document.start);
  }

  /** Stretches without a hole. */
  get covered(): Stretch[] {
    return this.pieces.flatMap((piece) => {
      const [first, last] = [piece[0], piece.at(-1)];
      return first === undefined || last === undefined ? [] : [{ from: first.from, to: last.to }];
    });
  }

  /** The segments of a chapter, or a segment itself. Fails with `integrity.*`. */
  segmentsOf(entry: Entry): Promise<KnownSegment[]> {
    let known = this.#known.get(entry.key);
    if (known === undefined) {
      known = entry.kind === 'chapter' ? this.#readChapter(entry) : this.#readSegment(entry);
      this.#known.set(entry.key, known);
    }
    return known;
  }

  async runsOf(entry: Entry): Promise<RunSummary[]> {
    return (await this.segmentsOf(entry)).flatMap((segment) => segment.runs);
  }

  /** The run in which a position lies (`from` < it <= `to`); the first one for a piece's own beginning. */
  async runAt(position: Lsn): Promise<RunSummary | undefined> {
    const piece = this.pieces.find(
      (entries) => (entries[0]?.from ?? position) <= position && position <= (entries.at(-1)?.to ?? position),
    );
    const entry = piece?.find(({ to }) => position <= to);
    return entry === undefined ? undefined : (await this.runsOf(entry)).find(({ to }) => position <= to);
  }

  /**
   * The first run of a piece that has a commit at which `isReached` holds of the latest time so far. That time never
   * goes back, so the run is found by halving.
   */
  async firstRunWhere(
    piece: readonly Entry[],
    isReached: (latest: CommitTime) => boolean,
  ): Promise<RunSummary | undefined> {
    const holds = (run: RunSummary | undefined): boolean =>
      run?.latestCommitTime !== undefined && isReached(run.latestCommitTime);
    let [low, high] = [0, piece.length];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const entry = piece[middle];
      if (entry !== undefined && holds((await this.runsOf(entry)).at(-1))) high = middle;
      else low = middle + 1;
    }
    const entry = piece[low];
    return entry === undefined ? undefined : (await this.runsOf(entry)).find(holds);
  }

  /**
   * A heartbeat with an xid below `xmin`, at or before a position: the newest (REPLICATION C3). Looks further and
   * further back, then halves: an old transaction is found as fast as a young one. A busy stream has many segments
   * between two heartbeats: those stand for the nearest one before them that has any.
   */
  async heartbeatBelow(xmin: bigint, position: Lsn): Promise<Heartbeat | undefined> {
    const entries = this.pieces.flat().filter((entry) => entry.from < position);
    /** `late`: all of them are above it. */
    const newest = async (index: number): Promise<Heartbeat | 'late' | undefined> => {
      for (const entry of entries.slice(0, index + 1).reverse()) {
        const beats = (await this.runsOf(entry)).flatMap((run) => run.heartbeats);
        if (beats.length === 0) continue;
        return (
          beats.filter((beat) => beat.xid < xmin).reduce<Heartbeat | undefined>(newer, undefined) ?? 'late'
        );
      }
      return undefined;
    };
    let high = entries.length;
    let low = high - 1;
    for (let step = 1; low > 0 && (await newest(low)) === 'late'; step *= 2) {
      high = low;
      low = Math.max(0, low - step);
    }
    let found = await newest(low);
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      const there = await newest(middle);
      if (there === 'late') high = middle;
      else [low, found] = [middle, there];
    }
    return found === 'late' ? undefined : found;
  }

  async #readSegment(entry: ListedSegment): Promise<KnownSegment[]> {
    const options = { ...this.#options, stream: this.id };
    const runs = await readSegmentFacts(this.repository, entry, options);
    return [knownSegment(entry, runs.map(summarise))];
  }

  async #readChapter(entry: Entry): Promise<KnownSegment[]> {
    const options = { ...this.#options, stream: this.id };
    const chapter = await readChapter(this.repository, entry, options).catch((error: unknown) => {
      // A chapter repeats what its segments say: a broken one costs requests, and no recovery.
      if (error instanceof Failure && error.code.startsWith('integrity.')) return undefined;
      throw error;
    });
    if (chapter === undefined) return this.#readInstead(entry);
    return chapter.segments.map(({ from, to, sizeBytes, runs }) => {
      const stretch = { from: lsnOf(from), to: lsnOf(to) };
      const key = keys.streamObject(this.document.source, this.id, segmentName(stretch));
      return knownSegment({ ...stretch, key, sizeBytes }, runs.map(summarise));
    });
  }

  async #readInstead({ from, to, key }: Entry): Promise<KnownSegment[]> {
    const at = { source: this.document.source, stream: this.id };
    const listed = await listSegments(this.repository, at, { ...this.#options, from, until: to });
    const piece = pieces(listed.filter((segment) => segment.to <= to)).at(-1) ?? [];
    if (piece[0]?.from !== from || piece.at(-1)?.to !== to)
      throw new Failure('integrity.chain', `${key} is broken, and not all of its segments are there`, {
        facts: { object: key },
      });
    const known = await Promise.all(piece.map((segment) => this.#readSegment(segment)));
    return known.flat();
  }
}

/** Fails with `integrity.chain` where two stretches that were read don't follow each other (I 44). */
export function assertLinked(
  one: Parameters<typeof fits>[0],
  next: Parameters<typeof fits>[1],
  stream: string,
): void {
  // An overlap is two writers' doing: neither was chained to the other, and nothing is missing.
  if (next.from < one.to || fits(one, next)) return;
  throw new Failure(
    'integrity.chain',
    `stream ${stream} is not what was stored around ${formatLsn(next.from)}`,
    {
      facts: { stream, position: formatLsn(next.from) },
    },
  );
}

/**
 * Chapters, and segments from where the last one begins: an hour more than needed, for what a zombie wrote across
 * its end. Where chapters leave a hole, its segments are looked for.
 */
async function listEntries(
  repository: Repository,
  stream: { readonly at: StreamAddress; readonly start: Lsn },
  options: CallOptions,
): Promise<Entry[]> {
  const { at, start } = stream;
  const chapters = await listChapters(repository, at, options);
  const from = chapters.at(-1)?.from;
  const segments = await listSegments(repository, at, { ...options, from });
  const entries: Entry[] = [...entriesOf('chapter', chapters), ...entriesOf('segment', segments)];
  if (from === undefined) return entries;
  let end = start;
  for (const piece of pieces(entries)) {
    const hole = { from: end, until: piece[0]?.from ?? end };
    const missed = hole.until > hole.from ? await listSegments(repository, at, { ...options, ...hole }) : [];
    entries.push(...entriesOf('segment', missed));
    end = piece.at(-1)?.to ?? end;
  }
  return entries;
}

function entriesOf(kind: Entry['kind'], listed: readonly ListedSegment[]): Entry[] {
  return listed.map((one) => ({ ...one, kind }));
}

function newer(one: Heartbeat | undefined, other: Heartbeat): Heartbeat {
  return one !== undefined && one.position >= other.position ? one : other;
}
