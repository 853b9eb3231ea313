import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OverlapProof } from '../../../src/capture/overlap.ts';
import type { Overlap } from '../../../src/capture/overlap.ts';
import { asLsn } from '../../../src/model/lsn.ts';
import { TransactionAssembler } from '../../../src/pgoutput/transaction-assembler.ts';
import { pgoutput } from '../../support/pgoutput-messages.ts';

const TIDEMARK = asLsn(1000n);
const CONTENT = pgoutput.message({
  transactional: true,
  lsn: 1n,
  prefix: 'other',
  content: Buffer.from('x'),
});

interface Sent {
  readonly at: bigint;
  readonly time: bigint;
  readonly empty?: boolean;
}

/** Whether a session that sends these, and then says that it has come to a position, may go on. */
function goesOn(overlap: Overlap, sent: readonly Sent[], position = TIDEMARK): boolean {
  const proof = new OverlapProof(overlap);
  const follows = new TransactionAssembler({ start: TIDEMARK, origin: 'source' });
  let allowed = true;
  for (const { at, time, empty } of sent)
    for (const message of [
      pgoutput.begin(at, time, 7),
      ...(empty === true ? [] : [CONTENT]),
      pgoutput.commit(at, at + 8n, time),
    ])
      if (follows.feed(message) === 'dropped') allowed &&= proof.allows(message, follows);
  return allowed && proof.allowsPosition(position);
}

const stored: readonly Sent[] = [
  { at: 100n, time: 50n },
  { at: 200n, time: 40n },
];
const overlap: Overlap = { from: asLsn(90n), to: asLsn(208n), time: 50n };

test('what is stored comes again: the stream goes on; before it has come, no position beyond it is believed', () => {
  expect(goesOn(overlap, stored)).toBe(true);
  expect(goesOn(overlap, [...stored, { at: 300n, time: 60n, empty: true }])).toBe(true);
  expect(goesOn(overlap, [])).toBe(false);
  expect(goesOn(overlap, [], asLsn(208n))).toBe(true);
  expect(goesOn(overlap, stored.slice(0, 1))).toBe(false);
});

test('where nothing was stored behind the slot, nothing may come before the tidemark', () => {
  const nothing: Overlap = { from: asLsn(90n), to: asLsn(90n), time: undefined };
  expect(goesOn(nothing, [])).toBe(true);
  expect(goesOn(nothing, [{ at: 300n, time: 60n, empty: true }])).toBe(true);
  expect(goesOn(nothing, [{ at: 300n, time: 60n }])).toBe(false);
});

test('I 41: another history never passes: its commits end elsewhere or at other times', () => {
  const other = fc.uniqueArray(
    fc.record({ at: fc.bigInt({ min: 90n, max: 990n }), time: fc.bigInt({ min: 0n, max: 99n }) }),
    { selector: ({ at }) => at, maxLength: 10 },
  );
  fc.assert(
    fc.property(other, (found) => {
      const sent = [...found].sort((a, b) => (a.at < b.at ? -1 : 1));
      const same =
        sent.some(({ at }) => at === 200n) && sent.some(({ at, time }) => at <= 200n && time === 50n);
      const more = sent.some(({ at }) => at > 200n);
      expect(goesOn(overlap, sent)).toBe(same && !more);
    }),
  );
});
