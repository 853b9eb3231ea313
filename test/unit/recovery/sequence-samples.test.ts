import { expect, test } from 'vitest';
import { SequenceSamples } from '../../../src/recovery/sequence-samples.ts';

const beat = (facts: object): Buffer => Buffer.from(JSON.stringify({ version: 2, nonce: 'n', ...facts }));

test('heartbeats tell where sequences were; only those that the run lists count', () => {
  const samples = new SequenceSamples();
  samples.run({
    heartbeats: [
      { position: '0/10', xid: '4294967301' },
      { position: '0/20', xid: '4294967302' },
      { position: '0/30', xid: '4294967303' },
    ],
  });
  expect(samples.message(beat({ sequences: { 'public.s': '900' } }), 77)).toBe(false);
  expect(samples.knownAt).toBeUndefined();
  expect(samples.message(beat({ sequences: { 'public.s': '30', 'public.d': '-4' } }), 5)).toBe(true);
  expect(samples.message(beat({}), 6)).toBe(false);
  expect(samples.knownAt).toBe(0x10n);
  // Nothing has changed: that is known, too. A sequence that was put back was further once.
  expect(samples.message(beat({ sequences: { 'public.s': '7' } }), 7)).toBe(true);
  expect(samples.knownAt).toBe(0x30n);
  // The same transaction again, as two writers may have stored it, says nothing new.
  expect(samples.message(beat({ sequences: { 'public.s': '999' } }), 7)).toBe(false);
  expect([...samples.samples]).toEqual([
    ['public.s', { least: '7', most: '30' }],
    ['public.d', { least: '-4', most: '-4' }],
  ]);
});

test('an older heartbeat was sampled before its position: it bounds from below, and ends nothing', () => {
  const samples = new SequenceSamples();
  samples.run({ heartbeats: [{ position: '0/10', xid: '5' }] });
  expect(samples.message(beat({ version: 1, sequences: { 'public.s': '30' } }), 5)).toBe(true);
  expect(samples.knownAt).toBeUndefined();
  expect(samples.samples.size).toBe(1);
});
