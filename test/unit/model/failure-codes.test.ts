import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FAILURE_CODES } from '../../../src/model/failure-codes.ts';

test('the README lists every failure code with its exit code, and no other', () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  const listed = [...readme.matchAll(/^\| `([a-z_]+(?:\.[a-z_]+)?)` \| (\d+) \|/gm)].map(
    (match) => `${match[1]} ${match[2]}`,
  );
  const known = Object.entries(FAILURE_CODES).map(([code, { exit }]) => `${code} ${exit}`);
  expect(listed.length).toBeGreaterThan(40);
  expect(listed.sort()).toEqual(known.sort());
});
