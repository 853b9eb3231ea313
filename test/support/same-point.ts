import { expect } from 'vitest';

const SETVAL = /^SELECT pg_catalog\.setval\('(.+)', (-?\d+), (?:true|false)\);$/gm;

/**
 * Holds two stock dumps against each other: rows are equal, and no sequence is left behind where it was. Further is
 * right, since capture looks at sequences once a minute only.
 */
export function expectSamePoint(restored: string, truth: string): void {
  // Not as a diff of two dumps, which nobody could read.
  const rowsAreEqual = restored.replaceAll(SETVAL, '') === truth.replaceAll(SETVAL, '');
  const found = positions(restored);
  const behind = [...positions(truth)].flatMap(([name, value]) =>
    (found.get(name) ?? -1n) < value ? [name] : [],
  );
  expect({ rowsAreEqual, behind }).toEqual({ rowsAreEqual: true, behind: [] });
}

/** Of sequences that go up. */
function positions(dump: string): Map<string, bigint> {
  return new Map([...dump.matchAll(SETVAL)].map(([, name = '', value = '']) => [name, BigInt(value)]));
}
