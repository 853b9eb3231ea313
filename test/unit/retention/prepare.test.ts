import { beforeEach, expect, test } from 'vitest';
import { keys } from '../../../src/catalog/keys.ts';
import type { Repository } from '../../../src/catalog/repository.ts';
import { asLsn, formatLsn } from '../../../src/model/lsn.ts';
import { checkPlan } from '../../../src/retention/check-plan.ts';
import type { RetentionRules } from '../../../src/retention/plan.ts';
import { preparePrune } from '../../../src/retention/prepare.ts';
import type { PreparedPrune } from '../../../src/retention/prepare.ts';
import { createMemoryStore } from '../../../src/storage/memory.ts';
import {
  STREAM,
  hourPosition,
  hourTime,
  hourlySnapshot,
  hourlyStream,
} from '../../support/retention-fixture.ts';
import { newRepository } from '../../support/stream-fixture.ts';

const HOUR = 3_600_000;
const signal = new AbortController().signal;
const source = 'main';
let repository: Repository;

beforeEach(async () => {
  repository = await newRepository(createMemoryStore());
});

const prepare = (rules: Partial<RetentionRules>, now = hourTime(48)): Promise<PreparedPrune> =>
  preparePrune(repository, {
    source,
    rules: { timezone: 'UTC', ...rules },
    failedAttempt: undefined,
    now: Date.parse(now),
    signal,
  });
const kept = ({ plan }: PreparedPrune): string[] =>
  plan.snapshots
    .filter(({ keep }) => keep)
    .map(({ id }) => id)
    .sort();

test('a stream is cut where the window for changes begins to need it, by whole chapters', async () => {
  await hourlyStream(repository, 40);
  const ids: string[] = [];
  for (const hour of [2, 14, 22, 38]) ids.push(await hourlySnapshot(repository, hour));
  const found = await prepare({ keepLast: 1, changes: 12 * HOUR });
  // The newest commit is of 39:54, so the window begins at 27:54; 22 is the last snapshot before.
  expect(kept(found)).toEqual([ids[2], ids[3]]);
  expect(found.snapshots.map(({ id }) => id).sort()).toEqual([ids[0], ids[1]]);
  expect(found.snapshots[0]?.keys).toEqual([
    keys.manifest(source, found.snapshots[0]?.id ?? ''),
    expect.stringContaining('schema.dump'),
  ]);
  const [cut] = found.streams;
  expect(formatLsn(cut?.at ?? asLsn(0n))).toBe(formatLsn(asLsn(hourPosition(20))));
  // 20 segments and the 5 chapters that tell of them, each before its own.
  expect(cut?.keys).toHaveLength(25);
  const names = cut?.keys.map((key) => key.slice(keys.stream(source, STREAM).length, -1)) ?? [];
  expect(names.slice(0, 6).map((name) => name.startsWith('chapters/'))).toEqual([
    true,
    false,
    false,
    false,
    false,
    true,
  ]);
  expect(found.windows.map(({ from, times }) => [formatLsn(from), times !== undefined])).toEqual([
    [formatLsn(asLsn(hourPosition(22) + 700n)), true],
  ]);
});

test('what the oldest transaction of a snapshot needs stays, back to its heartbeat', async () => {
  await hourlyStream(repository, 40);
  await hourlySnapshot(repository, 22, { since: 9 });
  await hourlySnapshot(repository, 38);
  const found = await prepare({ keepLast: 2, changes: 12 * HOUR });
  expect(found.streams[0]?.at).toBe(hourPosition(8));
});

test('a clock here that runs ahead takes nothing: the window is counted from what is stored', async () => {
  await hourlyStream(repository, 40);
  const id = await hourlySnapshot(repository, 2);
  await hourlySnapshot(repository, 22);
  const found = await prepare({ keepLast: 1, changes: 39 * HOUR }, '2036-01-01T00:00:00Z');
  expect(kept(found)).toContain(id);
  expect(found.streams).toEqual([]);
});

test('a segment that lies across a cut moves it back: two writers were at work', async () => {
  const stream = await hourlyStream(repository, 18);
  const zombie = stream.fork();
  await zombie.segment({ to: hourPosition(21) });
  for (let hour = 18; hour < 40; hour += 1) {
    await stream.segment({ to: hourPosition(hour + 1), latest: undefined });
    if (hour % 4 === 3) await stream.chapter();
  }
  await hourlySnapshot(repository, 22, {
    manifest: { tie: { kind: 'position', stream: STREAM, lsn: formatLsn(asLsn(hourPosition(22))) } },
  });
  const found = await prepare({ keepLast: 1 });
  expect(found.streams[0]?.at).toBe(hourPosition(16));
});

test('parts of transactions go with the segments that list them', async () => {
  await hourlyStream(repository, 40);
  await hourlySnapshot(repository, 22);
  const part = (hour: number): string =>
    keys.streamObject(
      source,
      STREAM,
      `parts/${hourPosition(hour).toString(16).toUpperCase().padStart(16, '0')}-abc/0.tar`,
    );
  for (const hour of [3, 19, 20, 39])
    await repository.store.putIfAbsent(part(hour), Buffer.from('x'), { signal });
  const found = await prepare({ keepLast: 1 });
  const parts = found.streams[0]?.keys.filter((key) => key.includes('/parts/'));
  expect(parts).toEqual([part(3), part(19)]);
});

test('the proof refuses a plan that would take what must stay, a position or a snapshot', async () => {
  await hourlyStream(repository, 40);
  await hourlySnapshot(repository, 2);
  const base = await hourlySnapshot(repository, 22);
  await hourlySnapshot(repository, 38);
  const { plan, read } = await prepare({ keepLast: 1, changes: 12 * HOUR });
  const proof = (isDoomed: (key: string) => boolean) =>
    checkPlan(repository, plan, { read, isDoomed, source, signal });
  await proof(() => false);
  // A chapter is no loss while its segments are there.
  await proof((key) => key.includes('chapters/00000000000061A8'));
  for (const doomed of [keys.manifest(source, base), '00000000000061A8-'])
    await expect(proof((key) => key.includes(doomed))).rejects.toMatchObject({ code: 'prune.unsafe' });
});

test('a snapshot whose object is missing or short is damaged', async () => {
  const first = await hourlySnapshot(repository, 1);
  const second = await hourlySnapshot(repository, 2);
  await repository.store.delete(keys.snapshotObject(source, second, 'schema.dump'), { signal });
  const found = await prepare({ keepLast: 1 });
  expect(found.plan.refusals).toEqual([expect.stringContaining(`${second} is not as it was stored`)]);
  expect(kept(found)).toEqual([first, second]);
});
