import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import { chapterOf } from '../../../src/catalog/chapter-of.ts';
import { publishGap, publishPart } from '../../../src/catalog/publish-stream.ts';
import type { Repository } from '../../../src/catalog/repository.ts';
import { streamTip } from '../../../src/catalog/stream-tip.ts';
import { StreamView } from '../../../src/catalog/stream-view.ts';
import { listSegments, listStreams, readGaps } from '../../../src/catalog/streams.ts';
import { asLsn } from '../../../src/model/lsn.ts';
import { createMemoryStore } from '../../../src/storage/memory.ts';
import { StreamBuilder, countingStore, gapOf, newRepository } from '../../support/stream-fixture.ts';

const signal = new AbortController().signal;
const at = { source: 'main', stream: '20261123T100159Z-7f3k2m' };
let counting: ReturnType<typeof countingStore>;
let repository: Repository;
let stream: StreamBuilder;

beforeEach(async () => {
  counting = countingStore(createMemoryStore());
  repository = await newRepository(counting.store);
  stream = await StreamBuilder.begin(repository, { id: at.stream, start: 1000n });
});

const open = (): Promise<StreamView> => StreamView.open(repository, at, { signal });
async function write(count: number, chapterEvery: number): Promise<void> {
  for (let number = 1; number <= count; number += 1) {
    await stream.segment({ to: stream.end + 10n }, { to: stream.end + 20n, latest: BigInt(number) });
    if (number % chapterEvery === 0) await stream.chapter();
  }
}
const chapterKeys = async (): Promise<string[]> =>
  (
    await Array.fromAsync(repository.store.list(`sources/main/streams/${at.stream}/chapters/`, { signal }))
  ).map(({ key }) => key);

test('a stream without segments ends where it begins, chained to its document', async () => {
  const view = await open();
  expect(await streamTip(view)).toEqual({ to: 1000n, chain: view.sha256, latestCommitTime: undefined });
  expect(view.covered).toEqual([]);
});

test('the tip is the last run of the last segment; a capture that goes on from it is chained', async () => {
  await write(7, 3);
  const tip = await streamTip(await open());
  expect(tip).toMatchObject({ to: stream.end, latestCommitTime: 7n });
  await stream.segment({ to: stream.end + 5n });
  const view = await open();
  const last = view.pieces.at(-1)?.at(-1);
  if (last === undefined) throw new Error('no segment');
  expect((await view.runsOf(last))[0]?.previous).toBe(tip.chain);
});

test('streams are listed by a request for each, whatever lies in them', async () => {
  await write(30, 10);
  const other = '20261124T100159Z-7f3k2m';
  await StreamBuilder.begin(repository, { id: other, start: 1000n });
  const before = counting.count();
  expect(await listStreams(repository, { source: 'main', signal })).toEqual([at.stream, other]);
  expect(counting.count() - before).toBe(3);
});

test('segments from and until a position, by names alone', async () => {
  await write(10, 4);
  await publishPart(
    repository,
    { ...at, name: 'parts/0000000000000500-a1/1.tar', bytes: Buffer.from('x') },
    { signal },
  );
  const listed = async (from?: bigint, until?: bigint): Promise<bigint[]> => {
    const range = {
      from: from === undefined ? undefined : asLsn(from),
      until: until === undefined ? undefined : asLsn(until),
    };
    return (await listSegments(repository, at, { signal, ...range })).map((segment) => segment.from);
  };
  expect(await listed()).toHaveLength(10);
  expect(await listed(1040n)).toEqual((await listed()).slice(2));
  expect(await listed(1041n, 1100n)).toEqual([1060n, 1080n]);
});

test('chapters that are missing in between, or at the end, are made up for by segments', async () => {
  await write(9, 3);
  const [, second, third] = await chapterKeys();
  await repository.store.delete(second ?? '', { signal });
  expect((await open()).pieces.map((piece) => piece.map(({ kind }) => kind))).toEqual([
    ['chapter', 'segment', 'segment', 'segment', 'chapter'],
  ]);
  await repository.store.delete(third ?? '', { signal });
  expect((await open()).covered).toEqual([{ from: 1000n, to: stream.end }]);
});

test('a broken chapter costs requests, and no recovery', async () => {
  await write(6, 3);
  const before = await (await open()).firstRunWhere((await open()).pieces[0] ?? [], (latest) => latest >= 2n);
  for (const key of await chapterKeys()) {
    await repository.store.delete(key, { signal });
    await repository.store.putIfAbsent(key, Buffer.from('no chapter'), { signal });
  }
  const view = await open();
  expect(await view.firstRunWhere(view.pieces[0] ?? [], (latest) => latest >= 2n)).toEqual(before);
  expect(before).toMatchObject({ from: 1030n, to: 1040n });
  const [segment] = await listSegments(repository, at, { signal });
  await repository.store.delete(segment?.key ?? '', { signal });
  const damaged = await open();
  await expect(damaged.firstRunWhere(damaged.pieces[0] ?? [], () => true)).rejects.toMatchObject({
    code: 'integrity.chain',
  });
});

test('a zombie across the end of the last chapter is found by who goes on from it', async () => {
  await write(2, 9);
  const zombie = stream.fork();
  await stream.segment({ to: stream.end + 10n, latest: 3n });
  await stream.chapter();
  await zombie.segment({ to: zombie.end + 50n, latest: 4n });
  await zombie.segment({ to: zombie.end + 50n, latest: 5n });
  const view = await open();
  expect(view.covered).toEqual([{ from: 1000n, to: zombie.end }]);
  expect(await streamTip(view)).toMatchObject({ to: zombie.end, latestCommitTime: 5n });
});

test('gaps come back in order; another document under an id is refused', async () => {
  const gap = gapOf({ id: '20261123T110000Z-aaaaaa', stream: at.stream, from: { lsn: '0/500' } });
  await publishGap(repository, gap, { signal });
  await publishGap(repository, gap, { signal });
  expect(await readGaps(repository, { source: 'main', signal })).toEqual([gap]);
  await expect(publishGap(repository, { ...gap, reason: 'failover' }, { signal })).rejects.toMatchObject({
    code: 'stream.other_writer',
  });
});

test('a chapter is made of segments that follow each other', () => {
  expect(() => chapterOf(at.stream, [])).toThrow(TypeError);
});

test('the newest heartbeat below an xid is found, however many segments have none', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }),
      fc.nat(45),
      async (beats, xmin) => {
        const own = await newRepository(createMemoryStore());
        const begun = await StreamBuilder.begin(own, { id: at.stream, start: 1000n });
        for (const [index, beat] of beats.entries())
          await begun.segment({
            to: begun.end + 10n,
            latest: 1n,
            heartbeats: beat ? [{ position: begun.end + 1n, xid: BigInt(index) }] : [],
          });
        const view = await StreamView.open(own, at, { signal });
        const found = await view.heartbeatBelow(BigInt(xmin), asLsn(begun.end));
        const expected = beats
          .map((beat, index) => (beat && index < xmin ? index : -1))
          .reduce((a, b) => Math.max(a, b), -1);
        expect(Number(found?.xid ?? -1n)).toBe(expected);
      },
    ),
    { numRuns: 40 },
  );
});
