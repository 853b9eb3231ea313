import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decideSchemaSnapshot } from '../../../src/capture/follow-schema.ts';
import type { BegunSnapshot } from '../../../src/capture/follow-up.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const NOW = 100 * DAY;

function taken(begunAt: number): BegunSnapshot {
  const use = { kind: 'own-instant', reason: '' } as const;
  return { begunAt, activeAt: begunAt + MINUTE, complete: { whole: true, base: true, tables: [], use } };
}

const decide = (changedAt: number | undefined, ...snapshots: BegunSnapshot[]) =>
  decideSchemaSnapshot({ now: NOW, changedAt, snapshots });

test('a schema change wants a whole snapshot from behind it, ten minutes after the last one', () => {
  const old = taken(NOW - 2 * DAY);
  expect(decide(NOW - 11 * MINUTE, old)).toEqual({ kind: 'take', gaps: [] });
  expect(decide(NOW - 9 * MINUTE, old)).toEqual({ kind: 'wait', until: NOW + MINUTE, gaps: [] });
  expect(decide(undefined, old)).toEqual({ kind: 'none' });
  expect(decide(NOW - 11 * MINUTE, old, taken(NOW - 10 * MINUTE))).toEqual({ kind: 'none' });
  expect(decide(NOW - 11 * MINUTE)).toEqual({ kind: 'none' });
});

test('it waits for an hour behind any other, for one that is under way, and takes none of what gaps may need', () => {
  const change = NOW - 20 * MINUTE;
  const hour = { kind: 'wait', until: NOW + 30 * MINUTE, gaps: [] };
  expect(decide(change, taken(NOW - 30 * MINUTE))).toEqual(hour);
  const running = { begunAt: NOW - 3 * DAY, activeAt: NOW, complete: undefined };
  expect(decide(change, taken(NOW - 2 * DAY), running)).toMatchObject({ until: NOW + 15 * MINUTE });
  expect(decide(change, taken(NOW - DAY / 2), taken(NOW - DAY / 4))).toMatchObject({ until: NOW + DAY / 2 });
});

test('property: over a week of schema changes never two within an hour, nor three within a day', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 20, maxLength: 200 }), (waits) => {
      const snapshots = [taken(NOW - 3 * DAY)];
      let now = NOW;
      for (const minutes of waits) {
        const changedAt = now;
        now += minutes * MINUTE;
        if (decideSchemaSnapshot({ now, changedAt, snapshots }).kind === 'take') snapshots.push(taken(now));
      }
      const times = snapshots.map(({ begunAt }) => begunAt);
      times.forEach((at, index) => {
        expect(at - (times[index - 1] ?? -Infinity)).toBeGreaterThanOrEqual(60 * MINUTE);
        expect(at - (times[index - 2] ?? -Infinity)).toBeGreaterThanOrEqual(DAY);
      });
    }),
  );
});
