import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareTables } from '../../../src/witness/compare.ts';
import { rotation } from '../../../src/witness/rotation.ts';

const digest = (rows: bigint, ...lanes: [bigint, bigint, bigint, bigint]) => ({ rows, lanes });
const table = (name: string, of: ReturnType<typeof digest>) => ({ schema: 'public', name, digest: of });

test('each table that was witnessed gets a verdict, also one that is gone', () => {
  const witnessed = [
    table('same', digest(2n, 1n, 2n, 3n, 4n)),
    table('fewer', digest(2n, 1n, 2n, 3n, 4n)),
    table('changed', digest(2n, 1n, 2n, 3n, 4n)),
    table('gone', digest(0n, 0n, 0n, 0n, 0n)),
  ];
  const found = [
    table('new', digest(9n, 9n, 9n, 9n, 9n)),
    table('changed', digest(2n, 1n, 2n, 3n, 5n)),
    table('fewer', digest(1n, 1n, 2n, 3n, 4n)),
    table('same', digest(2n, 1n, 2n, 3n, 4n)),
  ];
  expect(compareTables(witnessed, found).map(({ name, verdict }) => [name, verdict])).toEqual([
    ['same', 'same'],
    ['fewer', 'rows'],
    ['changed', 'content'],
    ['gone', 'missing'],
  ]);
});

test('any lane that differs is seen', () => {
  const lanes = fc.tuple(fc.bigInt(), fc.bigInt(), fc.bigInt(), fc.bigInt());
  fc.assert(
    fc.property(lanes, fc.integer({ min: 0, max: 3 }), (one, at) => {
      const other = one.with(at, (one[at] ?? 0n) + 1n) as typeof one;
      const [verdict] = compareTables([table('t', digest(1n, ...one))], [table('t', digest(1n, ...other))]);
      expect(verdict?.verdict).toBe('content');
    }),
  );
});

test('with time for some tables only, each is looked at in its turn', () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const last = new Map<string, string>();
  const seen: string[][] = [];
  for (let round = 0; round < 5; round += 1) {
    const candidates = names.map((name, index) => ({
      schema: 'public',
      name,
      bytes: BigInt(index),
      lastWitnessed: last.get(name),
    }));
    const turn = rotation(candidates)
      .slice(0, 2)
      .map(({ name }) => name);
    for (const name of turn) last.set(name, String(round));
    seen.push(turn);
  }
  expect(seen).toEqual([
    ['e', 'd'],
    ['c', 'b'],
    ['a', 'e'],
    ['d', 'c'],
    ['b', 'e'],
  ]);
});
