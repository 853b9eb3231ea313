import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { decodeChapter, encodeChapter } from '../../../src/archive/chapter.ts';
import { sha256Hex } from '../../../src/archive/digest.ts';
import { parseDocument } from '../../../src/archive/document.ts';
import { packRun } from '../../../src/archive/segment-writer.ts';
import type { PackedRun } from '../../../src/archive/segment-writer.ts';
import { gapSchema, markSchema, streamSchema } from '../../../src/archive/stream-documents.ts';
import type {
  ChapterDocument,
  GapDocument,
  MarkDocument,
  StreamDocument,
} from '../../../src/archive/stream-documents.ts';
import { createSigner, createTrust } from '../../../src/archive/signature.ts';
import { asLsn } from '../../../src/model/lsn.ts';
import { STREAM, session } from '../../support/change-stream.ts';

const SHA = sha256Hex(Buffer.from('x'));
const AT = '2026-11-23T10:01:59Z';

const stream: StreamDocument = {
  formatVersion: 1,
  kind: 'tidemark-stream',
  id: STREAM,
  source: 'main',
  repositoryId: 'r',
  createdBy: 'tidemark 0.1.0',
  startedAt: AT,
  slot: 'tidemark_main_abcdef',
  start: '16/B374D848',
  publications: [{ name: 'tidemark_main_rows', sha256: SHA }],
  server: {
    version: 180004,
    systemIdentifier: '7364552734455234567',
    timeline: 1,
    databaseOid: 4_294_967_295,
    databaseName: 'app',
    encoding: 'UTF8',
  },
  settings: { timezone: 'UTC' },
};
const gap: GapDocument = {
  formatVersion: 1,
  kind: 'tidemark-gap',
  id: STREAM,
  source: 'main',
  reason: 'table-rewritten',
  stream: STREAM,
  from: { lsn: '16/B374D848', commitTime: '848743319123456' },
  tables: [{ oid: 4_294_967_295, schema: 'public', name: 't' }],
  noticedAt: AT,
};
const mark: MarkDocument = {
  formatVersion: 1,
  kind: 'tidemark-mark',
  id: STREAM,
  source: 'main',
  stream: STREAM,
  name: 'before the migration',
  xid: '8589934595',
  commitLsn: '16/B374D848',
  endLsn: '16/B374D880',
  commitTime: '848743319123456',
};
const bytes = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));

test('documents of a stream come back, and what they can’t be is refused', () => {
  expect(parseDocument(bytes(stream), 'stream.json', streamSchema)).toEqual(stream);
  expect(parseDocument(bytes(gap), 'gap', gapSchema)).toEqual(gap);
  expect(parseDocument(bytes(mark), 'mark', markSchema)).toEqual(mark);
  const format = expect.objectContaining({ code: 'integrity.format' });
  for (const lie of [
    { start: 'x' },
    { kind: 'tidemark-gap' },
    { publications: [{ name: 'p' }] },
    { settings: 1 },
  ])
    expect(() => parseDocument(bytes({ ...stream, ...lie }), 'stream.json', streamSchema)).toThrow(format);
  for (const lie of [
    { reason: 'because' },
    { from: { lsn: 5 } },
    { tables: [{ oid: -1, schema: '', name: '' }] },
  ])
    expect(() => parseDocument(bytes({ ...gap, ...lie }), 'gap', gapSchema)).toThrow(format);
  for (const lie of [
    { name: '' },
    { xid: -1 },
    { commitTime: 848743319123456 },
    { commitLsn: '16/B374D848 ' },
  ])
    expect(() => parseDocument(bytes({ ...mark, ...lie }), 'mark', markSchema)).toThrow(format);
  expect(() => parseDocument(Buffer.from([0x22, 0xff, 0x22]), 'mark', markSchema)).toThrow(format);
  expect(() => parseDocument(bytes({ formatVersion: 2 }), 'mark', markSchema)).toThrow(
    expect.objectContaining({ code: 'repository.newer_format' }),
  );
});

async function idleRuns(count: number): Promise<PackedRun[]> {
  const { writer } = session({ start: asLsn(0n) });
  const runs: PackedRun[] = [];
  for (let index = 1; index <= count; index += 1) {
    const previous = runs.at(-1)?.chain ?? SHA;
    const how = { stream: STREAM, previous, sealer: undefined, ddl: 'exact' as const };
    const heartbeats = [{ position: '0/5', xid: '8589934595' }];
    runs.push(await packRun(writer.takeRun(asLsn(BigInt(index) * 16n)), { ...how, heartbeats }));
  }
  return runs;
}

function chapterOf(runs: readonly PackedRun[]): ChapterDocument {
  const segments = runs.map(({ facts, chain }) => ({
    from: facts.from,
    to: facts.to,
    sizeBytes: 4096,
    sha256: SHA,
    runs: [{ facts, chain }],
  }));
  const from = runs[0]?.facts.from ?? '';
  const to = runs.at(-1)?.facts.to ?? '';
  return { formatVersion: 1, kind: 'tidemark-chapter', stream: STREAM, from, to, segments };
}

test('a chapter comes back; one with a hole, another name or damage is refused', async () => {
  const runs = await idleRuns(4);
  const [first, , third] = runs;
  if (first === undefined || third === undefined) throw new Error('too few runs');
  const expected = { from: asLsn(0n), to: asLsn(64n), stream: STREAM, trust: undefined };
  const whole = await encodeChapter(chapterOf(runs));
  expect(await decodeChapter(whole, expected)).toEqual(chapterOf(runs));
  const refusals: readonly (readonly [Buffer, typeof expected, string])[] = [
    [whole, { ...expected, stream: 'another' }, 'integrity.format'],
    [whole, { ...expected, to: asLsn(65n) }, 'integrity.format'],
    [await encodeChapter(chapterOf([first, third, ...runs.slice(3)])), expected, 'integrity.chain'],
    [await encodeChapter({ ...chapterOf(runs), from: '0/1' }), expected, 'integrity.format'],
    [await encodeChapter({ ...chapterOf([]), from: '0/0', to: '0/40' }), expected, 'integrity.format'],
    [whole.subarray(0, -1), expected, 'integrity.truncated'],
  ];
  for (const [chapter, name, code] of refusals)
    await expect(decodeChapter(chapter, name)).rejects.toMatchObject({ code });
});

test('a signed chapter is one object, which stock zstd opens; only a trusted signature counts', async () => {
  const pem = (): string =>
    generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  const [mine, other] = [createSigner(pem(), 'mine'), createSigner(pem(), 'other')];
  const chapter = chapterOf(await idleRuns(2));
  const trust = createTrust([mine.publicKey]);
  const expected = { from: asLsn(0n), to: asLsn(32n), stream: STREAM, trust };
  const signed = await encodeChapter(chapter, mine);
  expect(await decodeChapter(signed, expected)).toEqual(chapter);
  expect(await decodeChapter(signed, { ...expected, trust: undefined })).toEqual(chapter);
  expect(JSON.parse(execFileSync('zstd', ['-dc'], { input: signed }).toString())).toEqual(chapter);
  const changed = Buffer.from(signed);
  changed.writeUInt8(changed.readUInt8(20) ^ 1, 20);
  for (const [bytes, code] of [
    [await encodeChapter(chapter), 'integrity.unsigned'],
    [await encodeChapter(chapter, other), 'integrity.signature'],
    [changed, 'integrity.signature'],
  ] as const)
    await expect(decodeChapter(bytes, expected)).rejects.toMatchObject({ code });
});
