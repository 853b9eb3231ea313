import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { tidemark } from '../support/tidemark.ts';

test('the demo loses data, gets it back, and leaves nothing behind', async () => {
  const before = left();
  const { exitCode, stdout, stderr } = await tidemark(['demo', '--scale', '0.002']);
  expect(exitCode).toBe(0);
  expect(stderr).toContain('25 of 25 tables are identical');
  expect(stdout).toContain('Your own database');
  expect(left()).toEqual(before);
});

const left = (): string[] => readdirSync(tmpdir()).filter((name) => /^tidemark-(demo|server)-/.test(name));
