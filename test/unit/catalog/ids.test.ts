import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isSnapshotId, newId, newIdAfter, timeOfId } from '../../../src/catalog/ids.ts';

const clock = fc.date({ min: new Date('2024-01-01'), max: new Date('2040-01-01'), noInvalidDate: true });

test('an id that is to be the last one sorts behind all, in one second and with a clock that was set back', () => {
  fc.assert(
    fc.property(clock, fc.integer({ min: -3_600_000, max: 2000 }), (before, step) => {
      const last = newId(before);
      const next = newIdAfter(new Date(before.getTime() + step), last);
      expect(isSnapshotId(next)).toBe(true);
      expect(next > last).toBe(true);
    }),
  );
  const [first] = newIdAfter(new Date('2026-11-25T10:01:59.900Z'), undefined).split('-');
  expect(first).toBe('20261125T100159Z');
});

test('an id tells the second in which it was made', () => {
  fc.assert(
    fc.property(clock, (at) => {
      expect(timeOfId(newId(at))).toBe(Math.floor(at.getTime() / 1000) * 1000);
    }),
  );
});

test('what is no id can’t be followed by one', () => {
  expect(() => newIdAfter(new Date(0), 'zzz')).toThrow('not an id');
  expect(() => timeOfId('zzz')).toThrow('not an id');
});
