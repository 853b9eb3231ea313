import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { FAILPOINTS, armFailpoints, failpoint } from '../../src/runtime/failpoints.ts';

const SRC = fileURLToPath(new URL('../../src', import.meta.url));

const said: string[] = [];
const life = (signal = new AbortController().signal) => ({
  signal,
  announce: (line: string) => void said.push(line),
});
afterEach(() => {
  said.length = 0;
  armFailpoints(undefined, life());
});

test('each failpoint stands once in the code, and has a fault test for its kind', () => {
  const code = globSync('**/*.ts', { cwd: SRC })
    .filter((file) => file !== 'runtime/failpoints.ts')
    .map((file) => readFileSync(join(SRC, file), 'utf8'))
    .join('\n');
  for (const name of FAILPOINTS)
    expect({ name, times: code.split(`'${name}'`).length - 1 }).toEqual({ name, times: 1 });
  expect(new Set(FAILPOINTS).size).toBe(FAILPOINTS.length);
  // test/fault/failpoints*.test.ts, capture.test.ts and unattended.test.ts hold one case for each point of these kinds: the compiler counts them.
  expect([...new Set(FAILPOINTS.map((name) => name.split('.')[0]))]).toEqual([
    'snapshot',
    'restore',
    'capture',
    'run',
    'prune',
    'folder',
    's3',
  ]);
});

test('nothing happens unless asked for', () => {
  armFailpoints('', life());
  for (const name of FAILPOINTS) expect(failpoint(name)).toBe(undefined);
  armFailpoints('snapshot.copied=error', life());
  expect(failpoint('snapshot.locked')).toBe(undefined);
});

test('a point acts at the time that was named, once', async () => {
  armFailpoints('snapshot.copied=error@3,folder.linked=error', life());
  expect(failpoint('snapshot.copied')).toBe(undefined);
  expect(failpoint('snapshot.copied')).toBe(undefined);
  await expect(failpoint('snapshot.copied')).rejects.toThrow('failpoint snapshot.copied');
  expect(failpoint('snapshot.copied')).toBe(undefined);
  await expect(failpoint('folder.linked')).rejects.toThrow('failpoint folder.linked');
});

test('a pause lasts until the program is stopped, and says that it was reached', async () => {
  const stop = new AbortController();
  armFailpoints('restore.begun=pause,restore.planned=sleep:1', life(stop.signal));
  await failpoint('restore.planned');
  const paused = failpoint('restore.begun');
  expect(said).toEqual(['failpoint restore.planned: sleeping', 'failpoint restore.begun: paused']);
  setTimeout(() => stop.abort(), 10);
  await paused;
});

test.each([
  'snapshot.nowhere=kill',
  'snapshot.copied',
  'snapshot.copied=explode',
  'snapshot.copied=kill@0',
  '=kill',
  'x',
])('%s is refused', (text) => {
  expect(() => armFailpoints(text, life())).toThrow(/names no failpoint and action/);
});
