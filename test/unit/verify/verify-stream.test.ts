import { beforeEach, expect, test } from 'vitest';
import type { Finding } from '../../../src/model/finding.ts';
import type { Repository } from '../../../src/catalog/repository.ts';
import { listSegments } from '../../../src/catalog/streams.ts';
import { FORMAT_VERSION } from '../../../src/archive/manifest.ts';
import { publishCut } from '../../../src/catalog/cuts.ts';
import { readSegmentFacts } from '../../../src/catalog/segment-facts.ts';
import { asLsn, formatLsn } from '../../../src/model/lsn.ts';
import { createMemoryStore } from '../../../src/storage/memory.ts';
import type { Store } from '../../../src/storage/store.ts';
import { verifyStream } from '../../../src/verify/verify-stream.ts';
import { StreamBuilder, newRepository } from '../../support/stream-fixture.ts';

const signal = new AbortController().signal;
const at = { source: 'main', stream: '20261123T100159Z-7f3k2m' };
let store: Store;
let repository: Repository;
let stream: StreamBuilder;
let keys: string[];

/** Six segments of 100 positions; a chapter tells of the first three. */
beforeEach(async () => {
  store = createMemoryStore();
  repository = await newRepository(store);
  stream = await StreamBuilder.begin(repository, { id: at.stream, start: 1000n });
  for (let number = 1n; number <= 6n; number += 1n) {
    await stream.segment({ to: 1000n + number * 100n, latest: number });
    if (number === 3n) await stream.chapter();
  }
  keys = (await listSegments(repository, at, { signal })).map(({ key }) => key);
});

const verify = async (): Promise<readonly Finding[]> => {
  const options = { deep: true, opener: undefined, onProgress: () => undefined, signal };
  return (await verifyStream(repository, at, options)).findings;
};
const bytesOf = async (key: string): Promise<Buffer> =>
  Buffer.concat(await Array.fromAsync(await store.get(key, { signal })));
const replace = async (key: string, bytes: Uint8Array): Promise<void> => {
  await store.delete(key, { signal });
  await store.putIfAbsent(key, bytes, { signal });
};
const errors = (findings: readonly Finding[]): string[] =>
  findings.filter(({ level }) => level === 'error').map(({ check, message }) => `${check} ${message}`);
const nameOf = (index: number): string => keys[index]?.split('/').at(-1) ?? '';

test('what was stored is right', async () => {
  expect(await verify()).toEqual([]);
  expect(keys).toHaveLength(6);
});

test('I 44: a missing segment is named by its neighbours', async () => {
  await store.delete(keys[4] ?? '', { signal });
  expect(errors(await verify())).toEqual([
    expect.stringMatching(`integrity.chain changes from 0/578 to 0/5DC are missing.*${nameOf(5)}`),
  ]);
});

test('I 44: one of which a chapter tells is named by that too', async () => {
  await store.delete(keys[1] ?? '', { signal });
  expect(errors(await verify())).toEqual([
    expect.stringMatching(/integrity.chain changes from 0\/44C to 0\/4B0 are missing/),
    expect.stringMatching(`repository.object_missing .*${nameOf(1)}, which is not there`),
  ]);
});

test('I 44: any flipped byte of a segment is named, once', async () => {
  const key = keys[4] ?? '';
  const bytes = await bytesOf(key);
  for (let position = 0; position < bytes.length; position += 97) {
    const flipped = Buffer.from(bytes);
    flipped[position] = (flipped[position] ?? 0) ^ 0x10;
    await replace(key, flipped);
    const found = errors(await verify());
    // Padding behind a name or a member is no content; tar itself looks away.
    if (found.length > 0) expect(found).toEqual([expect.stringContaining(nameOf(4))]);
    else expect(await contentOf(flipped)).toEqual(await contentOf(bytes));
  }
});

/** What a reader gets of an archive: its one document. */
async function contentOf(bytes: Buffer): Promise<string> {
  return Promise.resolve(bytes.toString('latin1', 512, bytes.indexOf(0, 512)));
}

test('I 44: contents that changed places are named', async () => {
  const [one, other] = [keys[3] ?? '', keys[4] ?? ''];
  const [first, second] = [await bytesOf(one), await bytesOf(other)];
  await replace(one, second);
  await replace(other, first);
  const found = errors(await verify());
  expect(found).toHaveLength(2);
  for (const [index, message] of found.entries()) expect(message).toContain(nameOf(index + 3));
});

test('I 44: a segment that fits by name alone is not of this chain', async () => {
  const other = await newRepository(createMemoryStore());
  const forged = await StreamBuilder.begin(other, { id: at.stream, start: 1400n });
  await forged.segment({ to: 1500n, latest: 99n });
  const [segment] = await listSegments(other, at, { signal });
  await replace(
    keys[4] ?? '',
    Buffer.concat(await Array.fromAsync(await other.store.get(segment?.key ?? '', { signal }))),
  );
  expect(errors(await verify()).join()).toMatch(/integrity.chain .*is not chained to what is stored before/);
});

test('a chapter that says otherwise is named, and so is one that is broken', async () => {
  const folder = (keys[0] ?? '').slice(0, -nameOf(0).length);
  const [chapter] = await Array.fromAsync(store.list(`${folder}chapters/`, { signal }));
  const bytes = await bytesOf(chapter?.key ?? '');
  await replace(chapter?.key ?? '', bytes.subarray(0, -3));
  expect(errors(await verify())).toEqual([expect.stringContaining(chapter?.key ?? '-')]);
});

test('I 45: a beginning that is gone is damage, unless a cut that was stored before says so', async () => {
  const runs = await readSegmentFacts(
    repository,
    (await listSegments(repository, at, { signal }))[3] ?? missing(),
    {
      stream: at.stream,
      signal,
    },
  );
  await store.delete(keys[0] ?? '', { signal });
  expect(errors(await verify())).toEqual([
    expect.stringMatching(/integrity.chain changes from 0\/3E8 to 0\/44C are missing, and no cut/),
    expect.stringMatching(/object_missing/),
  ]);
  const cut = {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-cut',
    ...at,
    at: formatLsn(asLsn(1300n)),
    previous: runs[0]?.facts.previous ?? '',
    createdBy: 'test',
    cutAt: '2026-11-23T12:00:00Z',
  } as const;
  await publishCut(repository, cut, { signal });
  // Half done: oldest first, so that what is left is a stream without its beginning.
  for (const key of [undefined, keys[1], keys[2]]) {
    if (key !== undefined) await store.delete(key, { signal });
    const findings = await verify();
    expect(errors(findings)).toEqual([]);
    expect(findings).toEqual([expect.objectContaining({ level: 'info', check: 'stream.pruned' })]);
  }
  await store.delete(keys[3] ?? '', { signal });
  expect(errors(await verify())).toEqual([
    expect.stringMatching(/integrity.chain changes from 0\/514 to 0\/578 are missing, and no cut/),
  ]);
});

test('I 45: what stands at a cut must be what was there when it was made', async () => {
  for (const key of keys.slice(0, 3)) await store.delete(key, { signal });
  const cut = {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-cut',
    ...at,
    at: formatLsn(asLsn(1300n)),
    previous: 'f'.repeat(64),
    createdBy: 'test',
    cutAt: '2026-11-23T12:00:00Z',
  } as const;
  await publishCut(repository, cut, { signal });
  expect(errors(await verify())).toEqual([expect.stringContaining('is not what was there when')]);
});

function missing(): never {
  throw new Error('no such segment');
}

test('a zombie’s segments beside the chain are no error', async () => {
  const zombie = stream.fork();
  await stream.segment({ to: 1700n, latest: 7n });
  await zombie.segment({ to: 1650n, latest: 7n });
  await stream.segment({ to: 1800n, latest: 8n });
  const findings = await verify();
  expect(errors(findings)).toEqual([]);
  expect(findings).toEqual([expect.objectContaining({ level: 'info', check: 'stream.beside' })]);
});
