import type { Lsn } from '../model/lsn.ts';

/** One session's life. STATES.md has the table. */
export type Phase = 'starting' | 'streaming' | 'draining' | 'settling' | 'ended';

/** Bytes are plaintext; times are milliseconds of a clock that only goes forward. */
export interface Limits {
  /** A run, or a part of an open transaction, is cut at this size. */
  readonly segmentBytes: number;
  /** A whole transaction waits at most so long. */
  readonly flushMs: number;
  /**
   * Not read further above `high` in memory or on the way to the store, until below `low`, which is above
   * `segmentBytes`.
   */
  readonly highBytes: number;
  readonly lowBytes: number;
  /** An idle stream is moved on at most so often, or, when the server waits for it, so often. */
  readonly idleMs: number;
  readonly hurriedIdleMs: number;
  readonly statusMs: number;
  readonly pingMs: number;
  readonly replyMs: number;
  /** Nothing heard for so long, though asked: the connection is gone. */
  readonly silenceMs: number;
}

export const LIMITS: Limits = {
  segmentBytes: 16 * 1024 * 1024,
  flushMs: 10_000,
  highBytes: 28 * 1024 * 1024,
  lowBytes: 18 * 1024 * 1024,
  idleMs: 60_000,
  hurriedIdleMs: 250,
  statusMs: 10_000,
  pingMs: 20_000,
  replyMs: 100,
  silenceMs: 60_000,
};

/** What was cut and is on its way to the store, in order. A part moves nothing: its run does. */
interface Cut {
  readonly id: number;
  readonly to: Lsn | undefined;
  readonly bytes: number;
  readonly stored: boolean;
}

/** What the receiver holds: all that has come and was not cut. */
export interface Held {
  /** Behind the last whole transaction, one without contents included. */
  readonly end: Lsn;
  /** A transaction has begun and not committed. */
  readonly open: boolean;
  readonly transactions: number;
  readonly wholeBytes: number;
  readonly openBytes: number;
  /** Among what is whole is something that others wait for: it is cut at once. */
  readonly urgent: boolean;
}

export interface State {
  readonly phase: Phase;
  /** Every commit before it is stored. */
  readonly tidemark: Lsn;
  /** What the server was told last. */
  readonly confirmed: Lsn;
  /** Where the next run begins: the last one's end. */
  readonly cutTo: Lsn;
  readonly cuts: readonly Cut[];
  readonly held: Held;
  /** The furthest that the server says to have sent all of. */
  readonly walEnd: Lsn;
  /** It waits for an answer. */
  readonly replyWanted: boolean;
  readonly paused: boolean;
  readonly nextId: number;
  /** When: the oldest whole transaction came, something was cut, heard, told, asked. */
  readonly since: number;
  readonly cutAt: number;
  readonly heardAt: number;
  readonly toldAt: number;
  readonly askedAt: number;
}

/** `received` and `keepalive` come in the order of the stream. */
export type Event =
  | { readonly kind: 'started'; readonly now: number }
  | { readonly kind: 'received'; readonly now: number; readonly held: Held }
  | { readonly kind: 'keepalive'; readonly now: number; readonly walEnd: Lsn; readonly reply: boolean }
  | { readonly kind: 'stored'; readonly now: number; readonly id: number }
  | { readonly kind: 'refused'; readonly now: number }
  | { readonly kind: 'tick'; readonly now: number; readonly heardAt: number }
  | { readonly kind: 'lost'; readonly now: number }
  | { readonly kind: 'stop'; readonly now: number };

export type Effect =
  /** Everything whole, up to `to`, becomes a run on its way to the store. */
  | { readonly kind: 'cut'; readonly id: number; readonly to: Lsn }
  /** What the open transaction has so far, out of memory. */
  | { readonly kind: 'cut-part'; readonly id: number }
  | { readonly kind: 'confirm'; readonly lsn: Lsn; readonly ping: boolean }
  | { readonly kind: 'pause' | 'resume' }
  /** Breaks the connection: it is silent, or what it would bring can't be stored. */
  | { readonly kind: 'abandon'; readonly why: 'silence' | 'refused' }
  /** Leaves it in order. */
  | { readonly kind: 'close' };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

export function initialState(tidemark: Lsn, now: number): State {
  return {
    phase: 'starting',
    tidemark,
    confirmed: tidemark,
    cutTo: tidemark,
    cuts: [],
    held: nothingHeld(tidemark),
    walEnd: tidemark,
    replyWanted: false,
    paused: false,
    nextId: 1,
    since: now,
    cutAt: now,
    heardAt: now,
    toldAt: now,
    askedAt: now,
  };
}

/** A state in the making, and what is to be done about it. */
class Draft {
  state: State;
  readonly effects: Effect[] = [];

  constructor(state: State) {
    this.state = state;
  }

  set(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
  }
}

type Kind = Event['kind'];
type Transitions = {
  readonly [P in Phase]: {
    readonly [K in Kind]: (draft: Draft, event: Extract<Event, { kind: K }>) => void;
  };
};

const nothing = (): void => undefined;

/** Each event in each phase: what it says is taken in. What follows from it is decided afterwards, by `react`. */
const TRANSITIONS: Transitions = {
  starting: {
    started: (draft, { now }) => {
      draft.set({ phase: 'streaming', cutAt: now, heardAt: now, askedAt: now });
      tell(draft, now, { ping: false });
    },
    received: nothing,
    keepalive: nothing,
    stored: nothing,
    refused: (draft) => draft.set({ phase: 'ended' }),
    tick: nothing,
    lost: (draft) => draft.set({ phase: 'ended' }),
    stop: leave,
  },
  streaming: {
    started: nothing,
    received: (draft, { held, now }) => {
      const { state } = draft;
      draft.set({ held, since: state.held.transactions === 0 ? now : state.since, heardAt: now });
    },
    keepalive: (draft, { walEnd, reply, now }) => {
      const { state } = draft;
      const furthest = walEnd > state.walEnd ? walEnd : state.walEnd;
      draft.set({ walEnd: furthest, replyWanted: state.replyWanted || reply, heardAt: now });
    },
    stored: advance,
    refused: (draft) => refuse(draft, { connected: true }),
    tick: (draft, { heardAt }) => draft.set({ heardAt: Math.max(draft.state.heardAt, heardAt) }),
    lost: (draft) => draft.set({ phase: 'settling', held: nothingHeld(draft.state.cutTo) }),
    stop: (draft, { now }) => {
      cutWhole(draft, now);
      draft.effects.push({ kind: 'pause' });
      draft.set({ phase: 'draining', held: nothingHeld(draft.state.cutTo) });
    },
  },
  draining: {
    started: nothing,
    received: nothing,
    keepalive: (draft, { reply }) => draft.set({ replyWanted: draft.state.replyWanted || reply }),
    stored: advance,
    refused: (draft) => refuse(draft, { connected: true }),
    tick: nothing,
    lost: (draft) => draft.set({ phase: 'settling' }),
    stop: nothing,
  },
  settling: {
    started: nothing,
    received: nothing,
    keepalive: nothing,
    stored: advance,
    refused: (draft) => refuse(draft, { connected: false }),
    tick: nothing,
    lost: nothing,
    stop: nothing,
  },
  ended: {
    started: nothing,
    received: nothing,
    keepalive: nothing,
    stored: nothing,
    refused: nothing,
    tick: nothing,
    lost: nothing,
    stop: nothing,
  },
};

/** What happens next. Total: every event has its place in every phase. Pure. */
export function step(state: State, event: Event, limits: Limits): Step {
  const draft = new Draft(state);
  // The table gives each kind of event the function for it; the compiler can't follow that through an index.
  const take = TRANSITIONS[state.phase][event.kind] as (draft: Draft, event: Event) => void;
  take(draft, event);
  react(draft, event.now, limits);
  return { state: draft.state, effects: draft.effects };
}

function react(draft: Draft, now: number, limits: Limits): void {
  const { phase } = draft.state;
  if (phase === 'streaming') {
    // What is cut first moves the idle rule and the pressure.
    cutDue(draft, now, limits);
    idleDue(draft, now, limits);
    press(draft, now, limits);
    if (isSilent(draft.state, now, limits)) {
      draft.effects.push({ kind: 'abandon', why: 'silence' });
      draft.set({ phase: 'settling', held: nothingHeld(draft.state.cutTo) });
    } else tellDue(draft, now, limits);
  } else if (phase === 'draining') {
    if (draft.state.cuts.length > 0) tellDue(draft, now, limits);
    else {
      tell(draft, now, { ping: false });
      leave(draft);
    }
  }
  if (draft.state.phase === 'settling' && draft.state.cuts.length === 0) draft.set({ phase: 'ended' });
}

/** Marks a cut as stored; the tidemark moves over all that is stored without a hole before it. */
function advance(draft: Draft, event: { readonly id: number }): void {
  const { state } = draft;
  const cuts = state.cuts.map((cut) => (cut.id === event.id ? { ...cut, stored: true } : cut));
  const hole = cuts.findIndex((cut) => !cut.stored);
  const passed = hole === -1 ? cuts : cuts.slice(0, hole);
  const tidemark = passed.reduce((mark, cut) => cut.to ?? mark, state.tidemark);
  draft.set({ tidemark, cuts: cuts.slice(passed.length) });
}

/** The store took something else: what was cut is chained to what is not there. */
function refuse(draft: Draft, { connected }: { readonly connected: boolean }): void {
  if (connected) draft.effects.push({ kind: 'abandon', why: 'refused' });
  draft.set({ phase: 'ended', cuts: [], held: nothingHeld(draft.state.tidemark) });
}

function leave(draft: Draft): void {
  draft.effects.push({ kind: 'close' });
  draft.set({ phase: 'ended' });
}

function cutDue(draft: Draft, now: number, limits: Limits): void {
  const { held, since, replyWanted, paused, cuts } = draft.state;
  const due =
    held.wholeBytes >= limits.segmentBytes ||
    held.openBytes >= limits.segmentBytes ||
    now - since >= limits.flushMs ||
    replyWanted ||
    held.urgent ||
    // Nothing else would make room.
    (paused && cuts.length === 0);
  if (due) cutWhole(draft, now);
  const { state } = draft;
  if (state.held.openBytes < limits.segmentBytes || state.held.transactions > 0) return;
  const cut: Cut = { id: state.nextId, to: undefined, bytes: state.held.openBytes, stored: false };
  draft.effects.push({ kind: 'cut-part', id: cut.id });
  draft.set({
    cuts: [...state.cuts, cut],
    nextId: cut.id + 1,
    held: { ...state.held, openBytes: 0 },
    cutAt: now,
  });
}

function cutWhole(draft: Draft, now: number): void {
  const { held } = draft.state;
  if (held.transactions > 0) cutTo(draft, held.end, now);
}

function cutTo(draft: Draft, to: Lsn, now: number): void {
  const { state } = draft;
  const { held } = state;
  const cut: Cut = { id: state.nextId, to, bytes: held.wholeBytes, stored: false };
  draft.effects.push({ kind: 'cut', id: cut.id, to });
  draft.set({
    cuts: [...state.cuts, cut],
    nextId: cut.id + 1,
    cutTo: to,
    cutAt: now,
    held: { ...held, end: to, transactions: 0, wholeBytes: 0, urgent: false },
  });
}

/** Moves an idle stream on, by a run without transactions: only when nothing at all is under way (I 5). */
function idleDue(draft: Draft, now: number, limits: Limits): void {
  const { state } = draft;
  const { held } = state;
  const isIdle = !held.open && held.transactions === 0 && state.cuts.length === 0;
  const target = held.end > state.walEnd ? held.end : state.walEnd;
  const wait = state.replyWanted ? limits.hurriedIdleMs : limits.idleMs;
  if (isIdle && target > state.cutTo && now - state.cutAt >= wait) cutTo(draft, target, now);
}

function press(draft: Draft, now: number, limits: Limits): void {
  const { held, cuts, paused } = draft.state;
  const bytes = cuts.reduce((sum, cut) => sum + cut.bytes, held.wholeBytes + held.openBytes);
  if (!paused && bytes > limits.highBytes) {
    draft.effects.push({ kind: 'pause' });
    draft.set({ paused: true });
  } else if (paused && bytes < limits.lowBytes) {
    draft.effects.push({ kind: 'resume' });
    // Silence counts from here on: nothing could be heard meanwhile.
    draft.set({ paused: false, heardAt: now });
  }
}

function isSilent({ paused, heardAt }: State, now: number, limits: Limits): boolean {
  return !paused && now - heardAt >= limits.silenceMs;
}

function tellDue(draft: Draft, now: number, limits: Limits): void {
  const { tidemark, confirmed, toldAt, askedAt, replyWanted } = draft.state;
  const ping = now - askedAt >= limits.pingMs;
  const due =
    tidemark > confirmed ||
    ping ||
    now - toldAt >= limits.statusMs ||
    (replyWanted && now - toldAt >= limits.replyMs);
  if (due) tell(draft, now, { ping });
}

/** The only place where anything is confirmed: the tidemark itself, never less than before. */
function tell(draft: Draft, now: number, { ping }: { readonly ping: boolean }): void {
  const { state } = draft;
  draft.effects.push({ kind: 'confirm', lsn: state.tidemark, ping });
  // The server asks again until it has what it waits for.
  draft.set({
    confirmed: state.tidemark,
    toldAt: now,
    replyWanted: false,
    askedAt: ping ? now : state.askedAt,
  });
}

function nothingHeld(end: Lsn): Held {
  return { end, open: false, transactions: 0, wholeBytes: 0, openBytes: 0, urgent: false };
}
