import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const TEST = fileURLToPath(new URL('..', import.meta.url));
const rows = readFileSync(`${TEST}/MODES.md`, 'utf8')
  .split('\n')
  .flatMap((line) => {
    const cells = line.split(' | ');
    const number = /^\| (\d+)$/.exec(cells[0] ?? '')?.[1];
    return number === undefined ? [] : [{ number: Number(number), guard: cells[2], tests: cells[3] ?? '' }];
  });
const named = rows.flatMap(({ number, tests }) =>
  [...tests.matchAll(/`([^`]+)` “([^”]+)”/g)].map(([, file = '', title = '']) => ({ number, file, title })),
);

test('all 57 modes are in the table, each with its guard, and tests or the word that there is none', () => {
  expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 57 }, (_, index) => index + 1));
  const silent = rows.filter(
    ({ number, guard, tests }) =>
      guard === '' || !(tests.includes('no test yet') || named.some((one) => one.number === number)),
  );
  expect(silent).toEqual([]);
  // Files stand in the table as tests only with a title beside them.
  expect(rows.flatMap(({ tests }) => [...tests.matchAll(/`[^`]+\.test\.ts`/g)])).toHaveLength(named.length);
});

test.for(named)('mode $number: $file has “$title”', ({ file, title }) => {
  expect(existsSync(`${TEST}/${file}`)).toBe(true);
  expect(readFileSync(`${TEST}/${file}`, 'utf8')).toContain(title);
});
