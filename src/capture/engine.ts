import type { Sealer } from '../archive/age.ts';
import { FORMAT_VERSION } from '../archive/manifest.ts';
import type { GapDocument, MarkDocument, RunFacts } from '../archive/stream-documents.ts';
import { randomCharacters } from '../catalog/ids.ts';
import { Failure } from '../model/failure.ts';
import { asLsn, formatLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { eventId } from './current-stream.ts';
import type { CurrentStream } from './current-stream.ts';
import { initialState, step } from './machine.ts';
import type { Effect, Event, Limits, State } from './machine.ts';
import type { Overlap } from './overlap.ts';
import type { Mark, OwnMessages, OwnWords, Missed } from './own-messages.ts';
import { Receiver } from './receiver.ts';
import type { StorageLine } from './storage-line.ts';

/** What the engine does to its connection. */
interface Wire {
  confirm(lsn: Lsn, options: { readonly ping: boolean }): void;
  pause(): void;
  resume(): void;
  abandon(failure: Failure): void;
}

interface EngineOptions {
  readonly current: CurrentStream;
  readonly limits: Limits;
  readonly sealer: Sealer | undefined;
  readonly own: OwnMessages;
  readonly overlap: Overlap | undefined;
  /** The way into the store; `stored` and `refused` below are what it tells. */
  readonly line: Pick<StorageLine, 'addRun' | 'addPart' | 'forgetParts'>;
  readonly onWords: (words: OwnWords) => void;
  readonly onGap: (gap: GapDocument) => void;
  /** The server sends other transactions than those that are stored. The engine has ended then. */
  readonly onDiverged: () => void;
  readonly onTidemark: (tidemark: Lsn) => void;
}

/** One turn of the event loop may read some 8 MiB from a socket. */
const MOST_UNSEEN_BYTES = 1024 * 1024;

/**
 * Runs the machine of one session: turns what happens into its events, and does what it calls for. Messages are taken
 * in as they come; the machine hears of them once for each turn of the event loop, always before anything else that
 * happens, so that what it decides on is what there is.
 */
export class Engine {
  /** Settles when the session may end. */
  readonly done: Promise<void>;
  readonly #options: EngineOptions;
  readonly #receiver: Receiver;
  readonly #finished = Promise.withResolvers<void>();
  #state: State;
  #wire: Wire | undefined;
  #dirty = false;
  #unseenBytes = 0;
  #scheduled = false;
  #keepalive: { walEnd: Lsn; reply: boolean } | undefined;
  #heardAt = performance.now();
  #attempt: { readonly finalLsn: Lsn; readonly word: string; parts: number } | undefined;
  /** How far schema changes are known from now on. */
  ddl: RunFacts['ddl'] = 'unknown';
  #missedUntil = asLsn(0n);

  constructor(options: EngineOptions) {
    const { to, latestCommitTime } = options.current.tip;
    this.#options = options;
    this.#receiver = new Receiver({ ...options, start: to, latestCommitTime });
    this.#state = initialState(to, performance.now());
    this.done = this.#finished.promise;
  }

  get state(): State {
    return this.#state;
  }

  get commits(): number {
    return this.#receiver.commits;
  }

  /** Schema changes before a position may not be known at all. */
  missedUntil(position: Lsn): void {
    this.#missedUntil = position;
  }

  start(wire: Wire): void {
    this.#wire = wire;
    this.#dispatch({ kind: 'started', now: performance.now() });
    this.#takeIn();
  }

  /** From the socket: copies what it keeps. */
  message(message: Buffer): void {
    this.#receiver.feed(message);
    if (this.#receiver.hasDiverged) return this.#diverge();
    this.#dirty = true;
    this.#unseenBytes += message.length;
    if (this.#unseenBytes > MOST_UNSEEN_BYTES) this.#takeIn();
    else this.#schedule();
  }

  /** The server sends thousands a second while it waits to stop: only the last of a turn is looked at. */
  keepalive(walEnd: Lsn, reply: boolean): void {
    this.#receiver.reached(walEnd);
    if (this.#receiver.hasDiverged) return this.#diverge();
    this.#keepalive = { walEnd, reply: reply || this.#keepalive?.reply === true };
    this.#schedule();
  }

  heard(): void {
    this.#heardAt = performance.now();
  }

  tick(): void {
    this.#dispatch({ kind: 'tick', now: performance.now(), heardAt: this.#heardAt });
  }

  stop(): void {
    this.#dispatch({ kind: 'stop', now: performance.now() });
  }

  lost(): void {
    this.#options.line.forgetParts();
    this.#dispatch({ kind: 'lost', now: performance.now() });
  }

  stored(ids: readonly number[]): void {
    for (const id of ids) this.#dispatch({ kind: 'stored', now: performance.now(), id });
    this.#options.onTidemark(this.#state.tidemark);
  }

  refused(): void {
    this.#dispatch({ kind: 'refused', now: performance.now() });
  }

  #diverge(): void {
    this.#options.onDiverged();
    this.refused();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#takeIn();
    });
  }

  #takeIn(): void {
    // What came before `started` is taken in after it.
    if (this.#state.phase === 'starting') return;
    const now = performance.now();
    if (this.#dirty) {
      this.#dirty = false;
      this.#unseenBytes = 0;
      this.#step({ kind: 'received', now, held: this.#receiver.held });
    }
    if (this.#keepalive !== undefined) {
      const { walEnd, reply } = this.#keepalive;
      this.#keepalive = undefined;
      this.#step({ kind: 'keepalive', now, walEnd, reply });
    }
  }

  #dispatch(event: Event): void {
    this.#takeIn();
    this.#step(event);
  }

  #step(event: Event): void {
    const { state, effects } = step(this.#state, event, this.#options.limits);
    this.#state = state;
    for (const effect of effects) this.#do(effect);
    if (state.phase === 'ended') this.#finished.resolve();
  }

  #do(effect: Effect): void {
    switch (effect.kind) {
      case 'cut':
        this.#cut(effect);
        break;
      case 'cut-part':
        this.#cutPart(effect.id);
        break;
      case 'confirm':
        this.#wire?.confirm(effect.lsn, effect);
        break;
      case 'pause':
        this.#wire?.pause();
        break;
      case 'resume':
        this.#wire?.resume();
        break;
      case 'abandon':
        this.#wire?.abandon(abandoned(effect.why, this.#options.limits));
        break;
      case 'close':
        this.#finished.resolve();
        break;
    }
  }

  #cut({ id, to }: Extract<Effect, { kind: 'cut' }>): void {
    const { taken, words } = this.#receiver.takeRun(to);
    const { document } = this.#options.current.view;
    const gaps = words.missed.map((missed) => missedGap(missed, document));
    this.#options.line.addRun({
      id,
      taken,
      heartbeats: words.heartbeats,
      schemaChanges: words.schemaChanges,
      ddl: taken.from < this.#missedUntil ? 'unknown' : this.ddl,
      marks: words.marks.map((mark) => markDocument(mark, document)),
      gaps,
    });
    this.#options.onWords(words);
    for (const gap of gaps) this.#options.onGap(gap);
  }

  #cutPart(id: number): void {
    const { finalLsn } = this.#receiver;
    if (this.#attempt?.finalLsn !== finalLsn)
      this.#attempt = { finalLsn, word: randomCharacters(8), parts: 0 };
    const number = this.#attempt.parts;
    this.#attempt.parts += 1;
    const { word: attempt } = this.#attempt;
    this.#options.line.addPart({ id, taken: this.#receiver.takePart(), finalLsn, attempt, number });
  }
}

interface OfStream {
  readonly id: string;
  readonly source: string;
}

function abandoned(why: 'silence' | 'refused', { silenceMs }: Limits): Failure {
  return why === 'silence'
    ? new Failure('source.lost', `the source has not been heard of for ${Math.round(silenceMs / 1000)} s`)
    : new Failure('stream.other_writer', 'what was captured could not be stored');
}

function markDocument(mark: Mark, { id, source }: OfStream): MarkDocument {
  const { name, xid, commitLsn, endLsn, commitTime } = mark;
  return {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-mark',
    id: eventId(commitTime, id, formatLsn(commitLsn), name),
    source,
    stream: id,
    name,
    xid: xid.toString(),
    commitLsn: formatLsn(commitLsn),
    endLsn: formatLsn(endLsn),
    commitTime: commitTime.toString(),
  };
}

/** Rows of the table got new content that no message carries (REPLICATION E3). */
function missedGap(missed: Missed, { id, source }: OfStream): GapDocument {
  const { oid, schema, name, commitLsn, endLsn, commitTime } = missed;
  return {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-gap',
    id: eventId(commitTime, id, formatLsn(commitLsn), String(oid)),
    source,
    reason: missed.reason,
    stream: id,
    from: { lsn: formatLsn(commitLsn), commitTime: commitTime.toString() },
    // It held the table's lock: what comes behind it stands in the stream.
    to: { lsn: formatLsn(endLsn), stream: id, commitTime: commitTime.toString() },
    tables: [{ oid, schema, name }],
    noticedAt: new Date(Number(commitTime / 1000n) + Date.UTC(2000, 0, 1)).toISOString(),
  };
}
