import { expect, test } from 'vitest';
import { Lane } from '../../src/runtime/lane.ts';
import { openLog } from '../../src/runtime/log.ts';

const calm = new AbortController().signal;

test('a lane lets one act at a time, in order, and goes on behind one that failed or gave up waiting', async () => {
  const lane = new Lane();
  const first = Promise.withResolvers<void>();
  const stop = new AbortController();
  const acts: string[] = [];
  const act = (name: string) => (): Promise<void> => {
    acts.push(name);
    return Promise.resolve();
  };
  const one = lane.run(() => first.promise, calm);
  const two = lane.run(act('two'), stop.signal);
  const three = lane.run(act('three'), calm);
  stop.abort();
  // At once, though the first one still has the lane.
  await expect(two).rejects.toMatchObject({ code: 'interrupted' });
  expect(acts).toEqual([]);
  first.reject(new Error('no'));
  await expect(one).rejects.toThrow('no');
  await three;
  expect(acts).toEqual(['three']);
});

test('a log holds no secret, as JSON and for people', () => {
  for (const forPeople of [false, true]) {
    const lines: string[] = [];
    const log = openLog({ level: 'info', forPeople, write: (line) => lines.push(line) });
    const url = 'postgresql://me:hunter2@host/db?sslpassword=hunter2';
    log.warn({ failure: { message: `can't reach ${url}` }, password: 'hunter2', lag: 12n }, `lost ${url}`);
    log.debug({}, 'not told');
    expect(lines).toHaveLength(1);
    expect(lines.join('')).not.toContain('hunter2');
    expect(lines.join('')).toMatch(
      forPeople
        ? /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ {2}WARN {2}lost postgresql:/
        : /^\{"level":"warn","time":"/,
    );
  }
});
