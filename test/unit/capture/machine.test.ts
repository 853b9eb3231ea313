// The invariants of src/capture/STATES.md, over random lives of a session.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { initialState, step } from '../../../src/capture/machine.ts';
import type { Effect, Event, Limits, Phase, State } from '../../../src/capture/machine.ts';
import { asLsn } from '../../../src/model/lsn.ts';

const LIMITS: Limits = {
  segmentBytes: 100,
  flushMs: 1000,
  highBytes: 500,
  lowBytes: 250,
  idleMs: 5000,
  hurriedIdleMs: 50,
  statusMs: 700,
  pingMs: 1500,
  replyMs: 20,
  silenceMs: 4000,
};
const START = asLsn(1000n);

/** What a source, a network and a store may do next. Numbers pick among what is possible then. */
type Move =
  | { readonly kind: 'begin' | 'change' | 'commit' | 'empty' | 'lost' | 'refused' | 'stop' | 'started' }
  | { readonly kind: 'keepalive'; readonly reply: boolean; readonly ahead: number }
  | { readonly kind: 'store'; readonly which: number }
  | { readonly kind: 'wait'; readonly ms: number };

const simple = fc.constantFrom('begin', 'change', 'commit', 'empty').map((kind) => ({ kind }));
const moves = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: simple },
    { weight: 6, arbitrary: fc.nat().map((which): Move => ({ kind: 'store', which })) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('keepalive' as const),
        reply: fc.boolean(),
        ahead: fc.nat(50),
      }),
    },
    { weight: 6, arbitrary: fc.nat(2500).map((ms): Move => ({ kind: 'wait', ms })) },
    { weight: 1, arbitrary: fc.constantFrom('lost', 'refused', 'stop').map((kind) => ({ kind })) },
  ),
  { maxLength: 120 },
);

/** A world around the machine: what was committed, what was cut from it, what is stored. */
class World {
  state: State = initialState(START, 0);
  now = 0;
  /** Of the server's WAL as it was sent. */
  position = 1000n;
  /** Ends of whole transactions that came, and whether each has contents. */
  readonly commits: { readonly end: bigint; readonly id: number }[] = [];
  /** Ids of transactions by cut, as the writer would take them. */
  readonly runs = new Map<number, { readonly from: bigint; readonly to: bigint; readonly ids: number[] }>();
  readonly storedCuts = new Set<number>();
  readonly openCuts: number[] = [];
  readonly confirmed: bigint[] = [];
  readonly effects: Effect[] = [];
  held = { open: false, transactions: 0, wholeBytes: 0, openBytes: 0, end: 1000n };
  uncut: number[] = [];
  socketPaused = false;
  closed = false;

  send(event: Event): void {
    const before = this.state;
    const { state, effects } = step(before, event, LIMITS);
    this.state = state;
    for (const effect of effects) this.do(effect, before);
  }

  do(effect: Effect, before: State): void {
    this.effects.push(effect);
    switch (effect.kind) {
      case 'cut': {
        const from = [...this.runs.values()].at(-1)?.to ?? 1000n;
        // I 4: runs follow each other, and none is empty of WAL.
        assert.ok(effect.to > from);
        if (this.uncut.length > 0) assert.equal(effect.to, this.held.end);
        else {
          // I 5: an idle advance only when nothing is open, held or on its way.
          assert.equal(this.held.open, false);
          assert.deepEqual(
            before.cuts.filter((cut) => !this.storedCuts.has(cut.id)),
            [],
          );
          assert.ok(effect.to <= this.position);
        }
        this.runs.set(effect.id, { from, to: effect.to, ids: this.uncut });
        this.uncut = [];
        this.held = { ...this.held, transactions: 0, wholeBytes: 0 };
        this.openCuts.push(effect.id);
        break;
      }
      case 'cut-part':
        assert.deepEqual(this.uncut, []);
        assert.equal(this.held.open, true);
        this.held = { ...this.held, openBytes: 0 };
        this.openCuts.push(effect.id);
        break;
      case 'confirm':
        this.confirmed.push(effect.lsn);
        this.checkConfirmed(effect.lsn);
        break;
      case 'pause':
        this.socketPaused = true;
        break;
      case 'resume':
        this.socketPaused = false;
        break;
      case 'abandon':
      case 'close':
        this.closed = true;
        break;
    }
  }

  /** I 1 to I 3. */
  checkConfirmed(lsn: bigint): void {
    // I 2: never less than before.
    assert.ok(lsn >= (this.confirmed.at(-2) ?? 1000n));
    // I 1, I 3: every transaction before it is in a run that is stored, as are all cuts before that run.
    const stored = new Set(
      [...this.runs].filter(([id]) => this.storedCuts.has(id)).flatMap(([, run]) => run.ids),
    );
    for (const { end, id } of this.commits) if (end <= lsn) assert.ok(stored.has(id));
    const last = [...this.runs].findLast(([, run]) => run.to <= lsn)?.[0] ?? 0;
    for (const id of this.openCuts) if (id <= last) assert.ok(this.storedCuts.has(id));
  }

  received(): void {
    const { open, transactions, wholeBytes, openBytes, end } = this.held;
    this.send({
      kind: 'received',
      now: this.now,
      held: { open, transactions, wholeBytes, openBytes, end: asLsn(end), urgent: transactions === 3 },
    });
  }

  move(move: Move): void {
    if (this.state.phase === 'streaming' && this.source(move)) return this.received();
    switch (move.kind) {
      case 'store': {
        const waiting = this.openCuts.filter((id) => !this.storedCuts.has(id));
        const id = waiting[move.which % Math.max(1, waiting.length)];
        if (id === undefined) return;
        this.storedCuts.add(id);
        return this.send({ kind: 'stored', now: this.now, id });
      }
      case 'keepalive':
        if (this.closed) return;
        this.position += this.held.open ? 0n : BigInt(move.ahead);
        return this.send({
          kind: 'keepalive',
          now: this.now,
          walEnd: asLsn(this.position),
          reply: move.reply,
        });
      case 'wait':
        this.now += move.ms;
        return this.send({ kind: 'tick', now: this.now, heardAt: this.state.heardAt });
      case 'lost':
        this.closed = true;
        return this.send({ kind: 'lost', now: this.now });
      case 'refused':
        this.send({ kind: 'refused', now: this.now });
        this.openCuts.length = 0;
        return;
      case 'stop':
      case 'started':
        return this.send({ kind: move.kind, now: this.now });
      case 'begin':
      case 'change':
      case 'commit':
      case 'empty':
    }
  }

  /** Whether the move was the source's, and possible now. */
  source({ kind }: Move): boolean {
    if (this.closed) return false;
    if (kind === 'begin' && !this.held.open) {
      this.position += 10n;
      this.held = { ...this.held, open: true, openBytes: 5 };
      return true;
    }
    if (kind === 'change' && this.held.open) {
      this.held = { ...this.held, openBytes: this.held.openBytes + 40 };
      return true;
    }
    if ((kind === 'commit' || kind === 'empty') && this.held.open) {
      this.position += 10n;
      this.held = { ...this.held, open: false, end: this.position };
      if (kind === 'commit') {
        const id = this.commits.length + 1;
        this.commits.push({ end: this.position, id });
        this.uncut.push(id);
        this.held.transactions += 1;
        this.held.wholeBytes += this.held.openBytes;
      }
      this.held.openBytes = 0;
      return true;
    }
    return false;
  }
}

function live(made: readonly Move[]): World {
  const world = new World();
  world.send({ kind: 'started', now: 0 });
  for (const move of made) world.move(move);
  return world;
}

test('I 1 to I 5: nothing is confirmed before it and all before it is stored; never less; idle only when nothing is under way', () => {
  let cuts = 0;
  let idle = 0;
  let confirms = 0;
  fc.assert(
    fc.property(moves, (made) => {
      const world = live(made);
      cuts += world.runs.size;
      idle += [...world.runs.values()].filter((run) => run.ids.length === 0).length;
      confirms += new Set(world.confirmed).size - 1;
      expect(world.state.confirmed).toBeLessThanOrEqual(world.state.tidemark);
    }),
    { numRuns: 2000 },
  );
  expect(Math.min(cuts, idle, confirms)).toBeGreaterThan(40);
});

test('I 6: what is whole is cut and, once stored, confirmed; the socket is read again; the stop ends', () => {
  fc.assert(
    fc.property(moves, (made) => {
      const calm = made.filter(({ kind }) => kind !== 'lost' && kind !== 'refused' && kind !== 'stop');
      const world = live(calm);
      for (let round = 0; round < 20 && world.state.phase === 'streaming'; round += 1) {
        world.move({ kind: 'keepalive', reply: false, ahead: 0 });
        world.move({ kind: 'wait', ms: 600 });
        for (let left = 0; left < 5; left += 1) world.move({ kind: 'store', which: left });
      }
      if (world.state.phase !== 'streaming') {
        expect(world.effects).toContainEqual({ kind: 'abandon', why: 'silence' });
        return;
      }
      expect(world.uncut).toEqual([]);
      expect(world.socketPaused).toBe(false);
      expect(world.confirmed.at(-1)).toBeGreaterThanOrEqual(world.commits.at(-1)?.end ?? 0n);
      world.move({ kind: 'stop' });
      expect(world.state.phase).toBe('ended');
      expect(world.effects.at(-1)).toEqual({ kind: 'close' });
    }),
    { numRuns: 500 },
  );
});

test('I 7: the server hears from us at least every status interval, also while nothing is read', () => {
  const world = live([]);
  world.received();
  for (let at = 0; at < 20; at += 1) {
    world.held = { ...world.held, open: true, openBytes: 600 };
    world.received();
    world.now += 350;
    world.send({ kind: 'tick', now: world.now, heardAt: 0 });
  }
  expect(world.socketPaused).toBe(true);
  expect(world.confirmed.length).toBeGreaterThanOrEqual(10);
  expect(world.state.phase).toBe('streaming');
});

test('silence ends the session while it reads, and not while it does not', () => {
  const world = live([]);
  world.now = LIMITS.silenceMs;
  world.send({ kind: 'tick', now: world.now, heardAt: 0 });
  expect(world.effects).toContainEqual({ kind: 'abandon', why: 'silence' });
  expect(world.state.phase).toBe('ended');
});

test('a server that waits for an answer gets what is whole stored at once, and an idle end soon', () => {
  const world = live([{ kind: 'begin' }, { kind: 'commit' }]);
  expect(world.runs.size).toBe(0);
  world.move({ kind: 'keepalive', reply: true, ahead: 0 });
  expect(world.runs.size).toBe(1);
  world.move({ kind: 'store', which: 0 });
  world.move({ kind: 'wait', ms: 60 });
  world.move({ kind: 'keepalive', reply: true, ahead: 7 });
  world.move({ kind: 'store', which: 0 });
  expect(world.confirmed.at(-1)).toBe(world.position);
});

test('what is urgent is cut at once, and what comes behind it waits again', () => {
  const world = live([{ kind: 'begin' }, { kind: 'commit' }, { kind: 'begin' }, { kind: 'commit' }]);
  expect(world.runs.size).toBe(0);
  for (const kind of ['begin', 'commit'] as const) world.move({ kind });
  expect(world.runs.size).toBe(1);
  for (const kind of ['begin', 'commit'] as const) world.move({ kind });
  expect(world.runs.size).toBe(1);
});

test('the table is total: every event in every phase leaves a state, and `ended` stays', () => {
  const phases: readonly Phase[] = ['starting', 'streaming', 'draining', 'settling', 'ended'];
  const held = { end: START, open: false, transactions: 0, wholeBytes: 0, openBytes: 0, urgent: false };
  const events: readonly Event[] = [
    { kind: 'started', now: 1 },
    { kind: 'received', now: 1, held },
    { kind: 'keepalive', now: 1, walEnd: START, reply: true },
    { kind: 'stored', now: 1, id: 1 },
    { kind: 'refused', now: 1 },
    { kind: 'tick', now: 1, heardAt: 1 },
    { kind: 'lost', now: 1 },
    { kind: 'stop', now: 1 },
  ];
  const next = phases.map((phase) =>
    events.map((event) => {
      const waiting = { id: 1, to: asLsn(1010n), bytes: 1, stored: false };
      const state = { ...initialState(START, 0), phase, cuts: phase === 'starting' ? [] : [waiting] };
      return step(state, event, LIMITS).state.phase;
    }),
  );
  expect(next).toEqual([
    ['streaming', 'starting', 'starting', 'starting', 'ended', 'starting', 'ended', 'ended'],
    ['streaming', 'streaming', 'streaming', 'streaming', 'ended', 'streaming', 'settling', 'draining'],
    ['draining', 'draining', 'draining', 'ended', 'ended', 'draining', 'settling', 'draining'],
    ['settling', 'settling', 'settling', 'ended', 'ended', 'settling', 'settling', 'settling'],
    ['ended', 'ended', 'ended', 'ended', 'ended', 'ended', 'ended', 'ended'],
  ]);
});
