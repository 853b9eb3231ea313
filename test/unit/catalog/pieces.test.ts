import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fits, pieces } from '../../../src/catalog/pieces.ts';
import type { Link } from '../../../src/catalog/pieces.ts';
import { asLsn } from '../../../src/model/lsn.ts';

const link = (from: number, to: number, digests: Partial<Link> = {}): Link => ({
  from: asLsn(BigInt(from)),
  to: asLsn(BigInt(to)),
  ...digests,
});
const shown = (found: readonly (readonly Link[])[]): string =>
  found.map((piece) => piece.map(({ from, to }) => `${from}-${to}`).join(' ')).join(' | ');

test.for<[string, Link[], string]>([
  ['nothing', [], ''],
  ['a chain, in any order', [link(20, 30), link(0, 10), link(10, 20)], '0-10 10-20 20-30'],
  ['a hole parts it', [link(0, 10), link(20, 30)], '0-10 | 20-30'],
  ['a beginning that was pruned', [link(20, 30), link(30, 40)], '20-30 30-40'],
  [
    'a zombie beside its successor',
    [link(0, 10), link(10, 20), link(20, 30), link(10, 25)],
    '0-10 10-20 20-30',
  ],
  ['a zombie that reached further', [link(0, 10), link(10, 20), link(20, 30), link(10, 45)], '0-10 10-45'],
  [
    'a successor that went on from a zombie',
    [link(0, 10), link(10, 20), link(10, 25), link(25, 40)],
    '0-10 10-25 25-40',
  ],
  ['merged beside what it was made of', [link(0, 10), link(10, 20), link(0, 20), link(20, 30)], '0-20 20-30'],
  ['only an overlap left', [link(0, 12), link(10, 20)], '0-12 10-20'],
  [
    'the way that leads back further',
    [link(0, 10), link(10, 20), link(12, 20), link(20, 30)],
    '0-10 10-20 20-30',
  ],
  [
    'digests decide between two that end alike',
    [
      link(0, 10, { chain: 'a' }),
      link(10, 20, { previous: 'a', chain: 'b' }),
      link(0, 20, { chain: 'z' }),
      link(20, 30, { previous: 'b' }),
    ],
    '0-10 10-20 20-30',
  ],
  [
    'a digest that fits nothing parts it',
    [link(0, 10, { chain: 'a' }), link(10, 20, { previous: 'x' })],
    '0-10 | 10-20',
  ],
])('%s', ([, stored, expected]) => {
  expect(shown(pieces(stored))).toBe(expected);
});

/** Writers that each go on from some stored end, as captures and zombies do. */
const history = fc
  .array(fc.record({ from: fc.nat(1000), length: fc.integer({ min: 1, max: 20 }) }), {
    minLength: 1,
    maxLength: 40,
  })
  .map((steps) => {
    const ends = [0];
    return steps.map(({ from, length }) => {
      const start = ends[from % ends.length] ?? 0;
      ends.push(start + length);
      return link(start, start + length);
    });
  });

test('whatever zombies write, the whole stream is one exact path from its start to the furthest end', () => {
  fc.assert(
    fc.property(history, (stored) => {
      const unique = [...new Map(stored.map((one) => [`${one.from}-${one.to}`, one])).values()];
      const found = pieces(unique);
      expect(found).toHaveLength(1);
      const [piece = []] = found;
      expect(piece[0]?.from).toBe(0n);
      expect(piece.at(-1)?.to).toBe(unique.map(({ to }) => to).reduce((a, b) => (a > b ? a : b)));
      for (const [index, one] of piece.entries()) {
        const before = piece[index - 1];
        if (before !== undefined) expect(fits(before, one)).toBe(true);
      }
    }),
  );
});

test('with some of them lost, pieces cover just what the stretches cover that lead to them', () => {
  fc.assert(
    fc.property(history, fc.array(fc.nat(40), { maxLength: 6 }), (stored, lost) => {
      const left = stored.filter((_, index) => !lost.includes(index));
      const found = pieces(left);
      for (const [index, piece] of found.entries()) {
        const next = found[index + 1];
        // Between two pieces nothing at all is stored: else it would have been joined.
        const [end, start] = [piece.at(-1)?.to ?? 0n, next?.[0]?.from ?? 0n];
        if (next !== undefined) expect(left.some(({ from, to }) => from < start && to > end)).toBe(false);
        for (const [at, one] of piece.entries())
          expect(one.from <= (piece[at - 1]?.to ?? one.from)).toBe(true);
      }
    }),
  );
});
