import { Failure, asFailure } from '../model/failure.ts';
import { formatLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { connect } from '../postgres/connection.ts';
import type { Connection } from '../postgres/connection.ts';
import { LIFT_TIMEOUTS } from '../postgres/lift-timeouts.ts';
import { ReplicationStream } from '../postgres/replication-stream.ts';
import type { StreamNotice } from '../postgres/replication-stream.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { admit } from './admit.ts';
import type { Admitted, NotAdmitted } from './admit.ts';
import { ChapterWriter } from './chapter-writer.ts';
import type { CurrentStream } from './current-stream.ts';
import { Engine } from './engine.ts';
import type { SlotLook } from './governor.ts';
import type { Heartbeat } from './heartbeat.ts';
import { OwnMessages } from './own-messages.ts';
import type { Beats } from './own-messages.ts';
import type { CaptureRequest } from './request.ts';
import { openTableWatch, tellGap, tend } from './session-tables.ts';
import { StorageLine } from './storage-line.ts';
import type { TableWatch } from './table-watch.ts';
import { Watch, lagFacts } from './watch.ts';
import type { Look } from './watch.ts';

export type SessionEnd =
  | { readonly kind: 'stopped' }
  | NotAdmitted
  /** The source has to be relieved of the slot. */
  | { readonly kind: 'relieve'; readonly why: string; readonly current: CurrentStream }
  | { readonly kind: 'failed'; readonly failure: Failure; readonly streamed: boolean };

/** What outlives a session, in this process' memory. */
export interface Lasting {
  readonly beats: Beats;
  readonly heartbeat: Heartbeat;
  /** Gaps behind which slot and publications have been put right. */
  readonly bridged: ReadonlySet<string>;
  /** At the slot. */
  readonly looks: { seen: readonly SlotLook[] };
  /** What publications lacked when they were last brought in line, and when. */
  readonly tended: { what: string | undefined; at: number };
}

interface Ready extends Admitted {
  readonly tables: TableWatch;
}

const TICK_MS = 100;
/** object_not_in_prerequisite_state: "skipped loading publication", the only such warning of pgoutput. */
const SKIPPED_PUBLICATION = '55000';
const OBSERVER = {
  statement_timeout: '1min',
  lock_timeout: '2s',
  search_path: 'pg_catalog',
  idle_in_transaction_session_timeout: '0',
  default_transaction_read_only: 'off',
};
/** What shapes the text of values, as snapshots pin it; kept in stream.json. And how long the server waits for us. */
const WALSENDER = {
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '3',
  bytea_output: 'hex',
  lc_monetary: 'C',
  xmloption: 'content',
  search_path: '',
  wal_sender_timeout: '60s',
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
};

/**
 * One connection's life: gates, stream, storage. When it is over, all that was cut is stored, or never will be: the
 * next one may begin. Never throws.
 */
export async function runSession(request: CaptureRequest, lasting: Lasting): Promise<SessionEnd> {
  const session = new Session(request, lasting);
  try {
    await session.live();
  } catch (error) {
    session.end({ kind: 'failed', failure: asFailure(error), streamed: session.streamed });
  }
  return session.ended ?? { kind: 'stopped' };
}

class Session {
  readonly #request: CaptureRequest;
  readonly #lasting: Lasting;
  /** Ends both connections at once. */
  readonly #control = new AbortController();
  /** Ends what is on its way into the store: only once nobody waits for it any more. */
  readonly #storing = new AbortController();
  #engine: Engine | undefined;
  #admitted: Ready | undefined;
  #storedBytes = 0;
  ended: SessionEnd | undefined;
  streamed = false;

  constructor(request: CaptureRequest, lasting: Lasting) {
    this.#request = request;
    this.#lasting = lasting;
  }

  /** The first reason stands. */
  end(end: SessionEnd): void {
    this.ended ??= end;
  }

  async live(): Promise<void> {
    const { stop, settings } = this.#request;
    // Until there is something to store, a stop breaks off.
    const onStop = (): void =>
      this.streamed ? this.#engine?.stop() : this.#control.abort(new Failure('interrupted', 'stopped'));
    stop.addEventListener('abort', onStop);
    const timer = setInterval(() => this.#engine?.tick(), TICK_MS);
    try {
      if (stop.aborted) return;
      const { signal } = this.#control;
      await using observer = await connect(settings, {
        side: 'source',
        job: 'capture',
        signal,
        session: OBSERVER,
      });
      await observer.query(LIFT_TIMEOUTS);
      await using stream = await this.#open(observer);
      await this.#follow(observer, stream);
    } catch (error) {
      if (!stop.aborted) throw error;
    } finally {
      clearInterval(timer);
      stop.removeEventListener('abort', onStop);
      this.#control.abort(new Failure('interrupted', 'the session is over'));
      this.#storing.abort(new Failure('interrupted', 'the session is over'));
    }
  }

  async #open(observer: Connection): Promise<ReplicationStream> {
    const { settings, names } = this.#request;
    const { signal } = this.#control;
    return ReplicationStream.open(settings, {
      slot: names.slot,
      publications: [names.rows, names.changes],
      session: WALSENDER,
      encrypted: observer.encrypted,
      admit: async (system, found) => {
        const admitted = await admit(this.#request, {
          session: observer,
          system,
          settings: found,
          bridged: this.#lasting.bridged,
          signal,
        });
        if (admitted.kind !== 'admitted') {
          this.end(admitted);
          throw new Failure('source.changed', 'a gate is closed');
        }
        await failpoint('capture.admitted');
        this.#lasting.heartbeat.startOver();
        const tables = await openTableWatch(this.#request, {
          ...admitted,
          onUnseen: (until) => this.#engine?.missedUntil(until),
          signal,
        });
        this.#prepare({ ...admitted, tables });
        return admitted.overlap?.from ?? admitted.current.tip.to;
      },
      onMessage: (message) => this.#engine?.message(message),
      onKeepalive: (walEnd, reply) => this.#engine?.keepalive(walEnd, reply),
      onHeard: () => this.#engine?.heard(),
      onNotice: (notice) => this.#notice(notice),
      signal,
    });
  }

  /** Everything that a message needs, before the first one can come. */
  #prepare(admitted: Ready): void {
    const { repository, source, sealer, limits, onEvent } = this.#request;
    const { current, facts, overlap } = admitted;
    const at = { source, stream: current.view.id };
    const { signal } = this.#storing;
    const onTrouble = (failure: Failure): void => onEvent({ kind: 'store-trouble', failure });
    const chapters = new ChapterWriter({ repository, at, onTrouble, signal });
    this.#admitted = admitted;
    const line = new StorageLine({
      repository,
      at,
      chain: current.tip.chain,
      sealer,
      onStored: (ids, segment) => {
        this.#storedBytes += segment?.sizeBytes ?? 0;
        this.#engine?.stored(ids);
        if (segment !== undefined) chapters.add(segment, Date.now());
      },
      onTrouble,
      onRefused: (failure) => {
        this.end({ kind: 'failed', failure, streamed: true });
        this.#engine?.refused();
      },
      signal,
    });
    const own = new OwnMessages({
      beats: this.#lasting.beats,
      signature: facts.signature,
      around: facts.nextXid,
      since: facts.system.position,
    });
    this.#engine = new Engine({
      current,
      limits,
      sealer,
      own,
      overlap,
      line,
      onWords: ({ ignored, schemaChanges }) => {
        if (ignored > 0) onEvent({ kind: 'ignored-messages', count: ignored });
        const changes = schemaChanges.length;
        if (changes > 0) onEvent({ kind: 'schema-changed', changes, exact: true });
      },
      onGap: (gap) => tellGap(this.#request, gap),
      onDiverged: () => {
        const why = 'the server sends other transactions than are stored: it was set back to an earlier time';
        const verdict = { kind: 'gap', reason: 'source-restored', why, slotServes: false } as const;
        this.end({ kind: 'closed', verdict, current });
      },
      onTidemark: (tidemark) => this.#reached(tidemark),
    });
  }

  async #follow(observer: Connection, stream: ReplicationStream): Promise<void> {
    const [engine, admitted] = [this.#engine, this.#admitted];
    if (engine === undefined || admitted === undefined) throw new TypeError('streams, but was not admitted');
    const { onEvent, names, slotLimit, stop } = this.#request;
    const { view, tip } = admitted.current;
    void stream.ended.then((failure) => {
      if (failure !== undefined) this.end({ kind: 'failed', failure, streamed: this.streamed });
      engine.lost();
    });
    const watch = new Watch({
      session: observer,
      tables: admitted.tables,
      onTables: (look) => tend(this.#request, this.#lasting.tended, { look, signal: this.#control.signal }),
      names,
      walsender: stream.backendPid,
      stream: view.document,
      tidemark: tip.to,
      signed: admitted.facts.signature !== undefined,
      slotLimit,
      heartbeat: this.#lasting.heartbeat,
      looks: this.#lasting.looks,
      onLook: (look) => this.#looked(look, stream),
    });
    // What comes meanwhile would pile up: nothing is taken in before the slot is known to be ours.
    stream.pause();
    await watch.look();
    await failpoint('capture.started');
    this.streamed = true;
    onEvent({ kind: 'streaming', stream: view.id, from: formatLsn(tip.to) });
    stream.resume();
    engine.start(stream);
    if (stop.aborted) engine.stop();
    watch.run(this.#control.signal).catch((error: unknown) => {
      if (engine.state.phase === 'streaming') stream.abandon(asFailure(error));
    });
    await engine.done;
  }

  #looked({ judgement, ddl }: Look, stream: ReplicationStream): void {
    const { onEvent } = this.#request;
    const engine = this.#engine;
    if (engine === undefined || this.#admitted === undefined) return;
    engine.ddl = ddl;
    const { current } = this.#admitted;
    const { level, why } = judgement;
    onEvent({
      kind: 'status',
      stream: current.view.id,
      tidemark: formatLsn(engine.state.tidemark),
      transactions: engine.commits,
      storedBytes: this.#storedBytes,
      ...lagFacts(judgement),
      paused: engine.state.paused,
    });
    if (level !== 'fine') onEvent({ kind: 'slot', level, why });
    if (level !== 'relieve') return;
    this.end({ kind: 'relieve', why, current });
    // What is on its way may never be stored: that is why it has come to this.
    engine.refused();
    stream.abandon(new Failure('source.lost', why));
  }

  /** 18 streams on without a publication that is gone, and only says so; in the language of the server. */
  #notice({ code, message }: StreamNotice): void {
    if (code !== SKIPPED_PUBLICATION) return;
    this.#engine?.refused();
    this.end({
      kind: 'failed',
      failure: new Failure('source.changed', `the server says: ${message}`),
      streamed: true,
    });
  }

  #reached(tidemark: Lsn): void {
    const { until } = this.#request;
    if (until !== undefined && tidemark >= until) this.#engine?.stop();
  }
}
