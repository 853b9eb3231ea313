import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decideRun, failuresInARow, needsSomebody } from '../../../src/schedule/decide-run.ts';
import type { PastRun, RunFacts } from '../../../src/schedule/decide-run.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DUE = 100 * HOUR;
const RETRIES = [MINUTE, 5 * MINUTE, 15 * MINUTE];

type Outcome = 'done' | 'failed' | 'interrupted' | 'killed';

function run(dueAt: number, outcome: Outcome, startedAt = dueAt, code = 'source.unreachable'): PastRun {
  const end = { at: startedAt + 1000, code: outcome === 'failed' ? code : undefined };
  return { dueAt, startedAt, end: outcome === 'killed' ? undefined : { ...end, outcome } };
}

function decide(facts: Partial<RunFacts>) {
  return decideRun({
    now: DUE + 100,
    due: DUE,
    runs: [],
    watchedSince: DUE - HOUR,
    retries: RETRIES,
    startsAtOnce: true,
    ...facts,
  });
}

const yesterday = run(DUE - 24 * HOUR, 'done');

test('what has never run runs at once, or when it is first due', () => {
  expect(decide({})).toMatchObject({ kind: 'run', reason: 'first', dueAt: DUE });
  expect(decide({ due: undefined })).toMatchObject({ kind: 'run', reason: 'first' });
  expect(decide({ startsAtOnce: false })).toMatchObject({ kind: 'run', reason: 'first' });
  expect(decide({ startsAtOnce: false, watchedSince: DUE + 1 })).toMatchObject({ kind: 'wait' });
});

test('what is due runs once; missed when nobody was there, and then once however often', () => {
  expect(decide({ runs: [yesterday] })).toEqual({ kind: 'run', dueAt: DUE, attempt: 1, reason: 'scheduled' });
  expect(decide({ runs: [yesterday, run(DUE, 'done')] })).toEqual({ kind: 'wait', until: undefined });
  const off = {
    now: DUE + 8 * HOUR,
    watchedSince: DUE + 8 * HOUR,
    runs: [run(DUE - 30 * 24 * HOUR, 'done')],
  };
  expect(decide(off)).toMatchObject({ kind: 'run', reason: 'missed', dueAt: DUE });
  expect(decide({ ...off, runs: [...off.runs, run(DUE, 'done', off.now)] })).toMatchObject({ kind: 'wait' });
  // A restart across the very minute, or a turn that was waited for.
  expect(decide({ ...off, now: DUE + MINUTE, watchedSince: DUE + MINUTE })).toMatchObject({
    reason: 'scheduled',
  });
  expect(decide({ ...off, watchedSince: DUE - 1 })).toMatchObject({ reason: 'scheduled' });
});

test('a failure is tried again after each pause, then left until it is due again', () => {
  const runs = [yesterday];
  let now = DUE;
  for (const [index, pause] of RETRIES.entries()) {
    runs.push(run(DUE, 'failed', now));
    expect(decide({ runs, now: now + 2000 })).toEqual({ kind: 'wait', until: now + 1000 + pause });
    expect(needsSomebody(runs, RETRIES)).toBe(false);
    now += 1000 + pause;
    expect(decide({ runs, now })).toMatchObject({ kind: 'run', attempt: index + 2, reason: 'retry' });
  }
  runs.push(run(DUE, 'failed', now));
  expect(decide({ runs, now: now + 10 * HOUR })).toEqual({ kind: 'wait', until: undefined });
  expect(needsSomebody(runs, RETRIES)).toBe(true);
  const next = DUE + 24 * HOUR;
  expect(decide({ runs, now: next, due: next })).toMatchObject({ kind: 'run', attempt: 1 });
  runs.push(run(next, 'done', next));
  expect(needsSomebody(runs, RETRIES)).toBe(false);
});

test('failures of a rule that is due more often than it may be tried again are told, too', () => {
  const runs = Array.from({ length: 4 }, (_, minute) => run(DUE + minute * MINUTE, 'failed'));
  expect(failuresInARow(runs)).toBe(4);
  expect(needsSomebody(runs, RETRIES)).toBe(true);
  expect(needsSomebody(runs.slice(1), RETRIES)).toBe(false);
});

test('what waiting does not mend is not tried again, unless somebody has started the program anew', () => {
  const runs = [yesterday, run(DUE, 'failed', DUE, 'tool.too_old')];
  expect(decide({ runs, now: DUE + 3 * HOUR })).toMatchObject({ kind: 'wait', until: undefined });
  expect(needsSomebody(runs, RETRIES)).toBe(true);
  const later = { runs, now: DUE + 3 * HOUR, watchedSince: DUE + 3 * HOUR };
  expect(decide(later)).toMatchObject({ kind: 'run', attempt: 2, reason: 'retry' });
});

test('a kill is followed at once, as often as a failure; who was stopped goes on at once', () => {
  const killed = [yesterday, run(DUE, 'killed')];
  expect(decide({ runs: killed, watchedSince: DUE + 50 })).toMatchObject({
    kind: 'run',
    attempt: 2,
    reason: 'retry',
  });
  const often = [yesterday, ...Array.from({ length: 4 }, (_, n) => run(DUE, 'killed', DUE + n))];
  expect(decide({ runs: often })).toMatchObject({ kind: 'wait' });
  expect(needsSomebody(often, RETRIES)).toBe(true);
  const stopped = Array.from({ length: 9 }, (_, n) => run(DUE, 'interrupted', DUE + n));
  expect(decide({ runs: stopped })).toMatchObject({ kind: 'run', reason: 'retry' });
  expect(needsSomebody(stopped, RETRIES)).toBe(false);
});

test('a clock that was ahead and is set right does not keep anything from running', () => {
  const future = run(DUE + 1000 * HOUR, 'done');
  expect(decide({ runs: [yesterday, future] })).toMatchObject({ kind: 'run', dueAt: DUE });
});

test('however often one looks: no more than one run is done for a time that is due, and none is left out', () => {
  const looks = fc.array(fc.integer({ min: 1, max: 5 * HOUR }), { minLength: 1, maxLength: 60 });
  const ends = fc.infiniteStream(fc.constantFrom<Outcome>('done', 'done', 'failed', 'killed', 'interrupted'));
  fc.assert(
    fc.property(looks, ends, (pauses, outcomes) => {
      const runs: PastRun[] = [yesterday];
      const every = 6 * HOUR;
      let now = DUE;
      for (const pause of pauses) {
        const due = Math.floor(now / every) * every;
        const decision = decide({ now, due, runs, watchedSince: DUE });
        const isDone = runs.some(({ dueAt, end }) => dueAt === due && end?.outcome === 'done');
        if (decision.kind === 'run') {
          expect(isDone).toBe(false);
          expect(decision.dueAt).toBe(due);
          runs.push(run(due, outcomes.next().value ?? 'done', now));
        } else if (!isDone) expect(runs.some(({ dueAt }) => dueAt === due)).toBe(true);
        now += pause;
      }
      const done = runs.filter(({ end }) => end?.outcome === 'done').map(({ dueAt }) => dueAt);
      expect(new Set(done).size).toBe(done.length);
    }),
  );
});
