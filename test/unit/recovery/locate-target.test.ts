import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StreamView } from '../../../src/catalog/stream-view.ts';
import { asLsn } from '../../../src/model/lsn.ts';
import { locatePosition, locateTime } from '../../../src/recovery/locate-target.ts';
import { createMemoryStore } from '../../../src/storage/memory.ts';
import { StreamBuilder, newRepository } from '../../support/stream-fixture.ts';

const signal = new AbortController().signal;
const STREAM = '20261123T100159Z-7f3k2m';
const START = 1000n;

/** Runs of commits, whose times go forth and back; what happens after each. */
const runs = fc.array(
  fc.record({
    times: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 4 }),
    after: fc.constantFrom('nothing', 'nothing', 'chapter', 'zombie'),
  }),
  { minLength: 1, maxLength: 25, size: 'max' },
);
type Runs = readonly { readonly times: readonly number[]; readonly after: string }[];

interface Commit {
  readonly lsn: bigint;
  readonly time: bigint;
}

/** Stores them, a commit every 10 positions; zombies store what comes next too, in segments of their own. */
async function stored(given: Runs): Promise<{ view: StreamView; commits: Commit[] }> {
  const history = given.map(({ times, after }, index) => ({
    after,
    times: times.map((time) => time + index * 4),
  }));
  const repository = await newRepository(createMemoryStore());
  const stream = await StreamBuilder.begin(repository, { id: STREAM, start: START });
  const commits: Commit[] = [];
  const runOf = (index: number): { to: bigint; latest: bigint | undefined } => {
    const before = history.slice(0, index + 1).flatMap(({ times }) => times);
    return {
      to: START + BigInt(before.length) * 10n + BigInt(index) + 1n,
      latest: before.length === 0 ? undefined : BigInt(Math.max(...before)),
    };
  };
  for (const [index, { times, after }] of history.entries()) {
    for (const time of times)
      commits.push({ lsn: START + BigInt(commits.length) * 10n + BigInt(index), time: BigInt(time) });
    const zombie = after === 'zombie' ? stream.fork() : undefined;
    await stream.segment(runOf(index));
    if (zombie !== undefined && index + 1 < history.length)
      await zombie.segment(runOf(index), runOf(index + 1));
    if (after === 'chapter') await stream.chapter();
  }
  return { view: await StreamView.open(repository, { source: 'main', stream: STREAM }, { signal }), commits };
}

test('P5: a time is where the first later commit ends it, however times go; never found unless a later one is stored', async () => {
  let found = 0;
  await fc.assert(
    fc.asyncProperty(runs, fc.nat(1000), fc.boolean(), async (history, at, exclusive) => {
      const { view, commits } = await stored(history);
      const latest = commits.reduce((max, commit) => (commit.time > max ? commit.time : max), 0n);
      const time = BigInt(at) % (latest + 2n);
      const located = await locateTime(view, time, exclusive);
      const stop = commits.find((commit) => (exclusive ? commit.time >= time : commit.time > time));
      if (stop === undefined) {
        expect(located.kind).toBe('beyond');
        return;
      }
      if (located.kind !== 'found') {
        // Only when the stop is in the first run that has commits.
        const first = history.findIndex(({ times }) => times.length > 0);
        expect(located.kind).toBe('before');
        expect(commits.indexOf(stop)).toBeLessThan(history[first]?.times.length ?? 0);
        return;
      }
      found += 1;
      expect(located.from).toBeLessThanOrEqual(stop.lsn);
      expect(located.to).toBeGreaterThan(stop.lsn);
      expect(commits.some(({ lsn }) => lsn < located.from)).toBe(true);
    }),
    { numRuns: 150 },
  );
  expect(found).toBeGreaterThan(30);
});

test('a position is found just when everything up to it is stored', async () => {
  await fc.assert(
    fc.asyncProperty(runs, fc.nat(400), fc.boolean(), async (history, at, exclusive) => {
      const { view } = await stored(history);
      const end = view.covered.at(-1)?.to ?? 0n;
      const lsn = asLsn(START - 20n + BigInt(at));
      const cut = exclusive ? lsn : lsn + 1n;
      const located = locatePosition(view, lsn, exclusive);
      const kind = cut < START ? 'before' : cut <= end ? 'found' : 'beyond';
      expect(located).toMatchObject(kind === 'found' ? { kind, from: cut, to: cut } : { kind });
    }),
    { numRuns: 100 },
  );
});
