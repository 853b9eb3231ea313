import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { compress } from '../../../src/archive/compression.ts';
import { sha256Hex } from '../../../src/archive/digest.ts';
import { readRecords } from '../../../src/archive/record.ts';
import { encodeRunDocument, parseRunDocument } from '../../../src/archive/run-document.ts';
import { readPart, readSegment, recordsOf, transactionsOf } from '../../../src/archive/segment-reader.ts';
import { packPart, packRun, packSegment } from '../../../src/archive/segment-writer.ts';
import type { PackedPart, PackedRun } from '../../../src/archive/segment-writer.ts';
import {
  chapterName,
  parseChapterName,
  parseSegmentName,
  segmentName,
} from '../../../src/archive/stream-names.ts';
import { TarReader } from '../../../src/archive/tar-reader.ts';
import { TransactionColumns, readTransactions } from '../../../src/archive/transaction-columns.ts';
import { VarintReader, VarintWriter } from '../../../src/archive/varints.ts';
import { asLsn } from '../../../src/model/lsn.ts';
import { STREAM, inChunks, nameOf, session } from '../../support/change-stream.ts';
import { pgoutput } from '../../support/pgoutput-messages.ts';

const MODIFIED = new Date('2026-11-24T00:00:00Z');
const START = asLsn(0x10_0000n);
const TO = asLsn(START + 300n);
const how = { stream: STREAM, sealer: undefined };

let run: PackedRun;
let segment: Buffer;
let part: PackedPart;
beforeAll(async () => {
  const { writer, feed } = session({ start: START, memberBytes: 300 });
  const relation = pgoutput.relation(1, 'public', 't', [{ name: 'a', key: true, type: 23 }]);
  const insert = pgoutput.insert(1, [Buffer.alloc(50, 7)]);
  feed(pgoutput.begin(START + 10n, 5n, 7));
  for (const message of [relation, insert, insert]) feed(message);
  part = await packPart(writer.takePart(), {
    ...how,
    finalLsn: asLsn(START + 10n),
    attempt: 'x',
    number: 1,
    modified: MODIFIED,
  });
  feed(insert);
  feed(pgoutput.commit(START + 10n, START + 100n, 5n));
  feed(pgoutput.begin(START + 200n, 5n, 8));
  feed(insert);
  feed(pgoutput.commit(START + 200n, TO, 5n));
  const facts = { previous: '0'.repeat(64), heartbeats: [], ddl: 'unknown' as const, parts: [part] };
  run = await packRun(writer.takeRun(), { ...how, ...facts });
  segment = await packSegment([run], { modified: MODIFIED });
});

/** Reads everything there is; how many messages. */
async function readAll(bytes: Buffer): Promise<number> {
  let messages = 0;
  for await (const found of readSegment(inChunks(bytes, 700), {
    from: START,
    to: TO,
    stream: STREAM,
    trust: undefined,
  })) {
    for await (const member of found.members()) {
      const transactions = await transactionsOf(member, found.facts, undefined);
      if (transactions !== undefined) for (const one of transactions) messages += one.messages;
      else for (const record of await recordsOf(member, undefined)) messages += record.inForce ? 0 : 1;
    }
  }
  return messages;
}

async function readAllOfPart(bytes: Buffer): Promise<number> {
  const records = await Array.fromAsync(
    readPart(inChunks(bytes, 700), part.listed, { ...how, opener: undefined }),
  );
  return records.length;
}

/** A flipped bit may make the version a newer one, which is named first. */
const integrity = expect.objectContaining({
  code: expect.stringMatching(/^integrity\.|^repository\.newer_format$/),
});

test('untouched, both read', async () => {
  expect(await readAll(segment)).toBe(5);
  expect(await readAllOfPart(part.bytes)).toBe(4);
});

test('I 44: cut at any byte, a segment is refused', async () => {
  for (let length = 0; length < segment.length; length += 61)
    await expect(readAll(segment.subarray(0, length))).rejects.toThrow(integrity);
  for (let length = 0; length < part.bytes.length; length += 61)
    await expect(readAllOfPart(part.bytes.subarray(0, length))).rejects.toThrow(integrity);
});

test('I 44: any flipped bit is refused, or changed nothing that means something', async () => {
  let refused = 0;
  for (let at = 0; at < segment.length; at += 3) {
    const changed = Buffer.from(segment);
    changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
    const outcome = await readAll(changed).catch((error: unknown) => error);
    if (outcome !== 5) {
      expect(outcome).toEqual(integrity);
      refused += 1;
    }
  }
  // What does not count is the padding of members.
  expect(refused).toBeGreaterThan(segment.length / 6);
});

test('I 44: any flipped bit of a part is refused', async () => {
  for (let at = 0; at < part.bytes.length; at += 1) {
    const changed = Buffer.from(part.bytes);
    changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
    await expect(readAllOfPart(changed)).rejects.toThrow(integrity);
  }
});

test('a segment under another name, or of another stream, is refused', async () => {
  const read = (from: bigint, to: bigint, stream: string) =>
    Array.fromAsync(
      readSegment(inChunks(segment), { from: asLsn(from), to: asLsn(to), stream, trust: undefined }),
    );
  await expect(read(START + 1n, TO, STREAM)).rejects.toThrow(integrity);
  await expect(read(START, TO + 1n, STREAM)).rejects.toThrow(integrity);
  await expect(read(START, TO, 'another')).rejects.toThrow(integrity);
});

test('a reader that passes members over checks them all the same', async () => {
  const changed = Buffer.from(segment);
  const at = segment.indexOf(run.members.at(-1)?.bytes ?? 'absent');
  changed[at] = (changed[at] ?? 0) ^ 1;
  const runs = Array.fromAsync(
    readSegment(inChunks(changed), { from: START, to: TO, stream: STREAM, trust: undefined }),
  );
  await expect(runs).rejects.toMatchObject({ code: 'integrity.digest' });
});

test('a newer format is named before anything else is judged', () => {
  const text = encodeRunDocument({ ...run.facts, formatVersion: 2 as 1 }).bytes;
  expect(() => parseRunDocument(text, 'x')).toThrow(
    expect.objectContaining({ code: 'repository.newer_format' }),
  );
});

test('facts that lie about members are refused', () => {
  const [transactions, ...changes] = run.facts.members;
  if (transactions === undefined || changes[0] === undefined) throw new Error('too few members');
  const lies = [
    { members: changes },
    { members: [transactions, transactions, ...changes] },
    { members: [transactions, { ...changes[0], name: '../../etc/passwd' }] },
    { members: [transactions, { ...changes[0], name: '0001.pgoutput.zst' }] },
    { members: [transactions, { ...changes[0], plainBytes: 2 ** 40 }] },
    { members: [transactions, { ...changes[0], sizeBytes: 2 ** 40 }] },
    { encryptedTo: ['0'.repeat(64)] },
    { to: run.facts.from },
    { to: '0/0' },
    { parts: [{ ...part.listed, name: 'parts/../../x.tar' }] },
  ];
  for (const lie of lies) {
    const { bytes } = encodeRunDocument({ ...run.facts, ...lie });
    expect(() => parseRunDocument(bytes, 'x')).toThrow(integrity);
  }
});

test('a member that expands to more than its facts say is not blown up', async () => {
  const bomb = await compress(Buffer.alloc(64 * 1024 * 1024), 'zstd');
  const facts = {
    name: '0000.pgoutput.zst',
    sizeBytes: bomb.length,
    sha256: sha256Hex(bomb),
    plainBytes: 1000,
  };
  const before = process.memoryUsage().rss;
  await expect(recordsOf({ facts, bytes: bomb }, undefined)).rejects.toThrow(integrity);
  expect(process.memoryUsage().rss - before).toBeLessThan(32 * 1024 * 1024);
});

test('hostile tar headers are refused without memory for what they claim', async () => {
  const header = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(segment.subarray(0, 512));
    change(bytes);
    const sum = bytes.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
    bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    return Buffer.concat([bytes, segment.subarray(512)]);
  };
  const hostile = [
    header((bytes) => bytes.write('77777777777', 124)),
    header((bytes) => bytes.write('\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff', 124, 'latin1')),
    header((bytes) => bytes.write('-0000000001', 124)),
    header((bytes) => bytes.write('../../etc/passwd\0', 0)),
    header((bytes) => bytes.write('x', 156)),
    header((bytes) => bytes.write('2', 156)),
    header((bytes) => bytes.write('/etc', 345)),
    header((bytes) => bytes.write('a\nb\0', 0)),
    Buffer.concat([segment, Buffer.from('more')]),
  ];
  const before = process.memoryUsage().rss;
  for (const bytes of hostile) await expect(readAll(bytes)).rejects.toThrow(integrity);
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
});

test('fuzz: whatever bytes stand in an archive, only integrity failures come out', async () => {
  const patch = fc.record({
    at: fc.nat(segment.length - 1),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(patch, { minLength: 1, maxLength: 4 }), async (patches) => {
      const changed = Buffer.from(segment);
      for (const { at, bytes } of patches) changed.set(bytes.subarray(0, changed.length - at), at);
      const outcome = await readAll(changed).catch((error: unknown) => error);
      if (outcome !== 5) expect(outcome).toEqual(integrity);
    }),
    { numRuns: 300 },
  );
});

test('fuzz: records and columns of any bytes', () => {
  const outcome = (read: () => unknown): unknown => {
    try {
      return read();
    } catch (error) {
      expect(error).toEqual(integrity);
      return undefined;
    }
  };
  const bounds = { from: START, to: TO, transactions: 3, tables: 2, plainBytes: 1000 };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(12), (bytes, length) => {
      outcome(() => [...readRecords(Buffer.from(bytes))]);
      // Nine columns of some length each, so that more than the framing is looked at.
      const columns = Array.from({ length: 9 }, () => [
        Buffer.from([0, 0, 0, length]),
        bytes.subarray(0, length),
      ]);
      outcome(() => [...readTransactions(Buffer.concat(columns.flat()), bounds)]);
      outcome(() => [...readTransactions(Buffer.from(bytes), bounds)]);
    }),
    { numRuns: 2000 },
  );
});

test('varints come back, over all of 64 bits', () => {
  const unsigned = fc.oneof(
    fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    fc.bigInt({ min: 0n, max: 1n << 50n }),
  );
  const signed = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n });
  fc.assert(
    fc.property(fc.array(fc.tuple(unsigned, signed, fc.maxSafeNat())), (values) => {
      const writer = new VarintWriter();
      for (const [big, both, small] of values) {
        writer.unsigned64(big);
        writer.signed64(both);
        writer.unsigned(small);
      }
      const reader = new VarintReader(Buffer.from(writer.bytes()));
      for (const [big, both, small] of values)
        expect([reader.unsigned64(), reader.signed64(), reader.unsigned()]).toEqual([big, both, small]);
      expect(() => reader.end()).not.toThrow();
      expect(() => reader.unsigned()).toThrow(integrity);
    }),
  );
  expect(() => new VarintReader(Buffer.alloc(11, 0xff)).unsigned64()).toThrow(integrity);
});

test('columns keep extremes of time and position', () => {
  const top = asLsn(0x7fff_ffff_ffff_ffffn);
  const columns = new TransactionColumns(asLsn(0n));
  const first = {
    xid: 0xffff_ffff,
    commitLsn: asLsn(1n),
    endLsn: asLsn(8n),
    commitTime: -(1n << 63n),
    bytes: 4,
  };
  const last = { xid: 3, commitLsn: asLsn(top - 1n), endLsn: top, commitTime: (1n << 63n) - 1n, bytes: 6 };
  columns.addRows(1, 3, 2 ** 40);
  columns.add({ ...first, messages: 0, entries: 1 });
  columns.add({ ...last, messages: 2, entries: 0 });
  const bounds = { from: asLsn(0n), to: top, transactions: 2, tables: 2, plainBytes: 10 };
  expect([...readTransactions(columns.encode(), bounds)]).toEqual([
    { ...first, offset: 0, messages: 0, rows: [{ table: 1, kind: 'truncates', rows: 2 ** 40 }] },
    { ...last, offset: 4, messages: 2, rows: [] },
  ]);
  for (const lie of [
    { to: asLsn(9n) },
    { tables: 1 },
    { plainBytes: 11 },
    { transactions: 1 },
    { from: asLsn(2n) },
  ])
    expect(() => [...readTransactions(columns.encode(), { ...bounds, ...lie })]).toThrow(integrity);
});

test('names of objects come back, and only those', () => {
  const position = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }).map(asLsn);
  fc.assert(
    fc.property(position, position, (from, to) => {
      const expected = from < to ? { from, to } : undefined;
      expect(parseSegmentName(segmentName({ from, to }))).toEqual(expected);
      expect(parseChapterName(chapterName({ from, to }))).toEqual(expected);
    }),
  );
  expect(nameOf([{ from: START, to: TO }])).toBe('0000000000100000-000000000010012C.tar');
  for (const name of [
    '',
    'x.tar',
    '../0000000000100000-000000000010012C.tar',
    '0000000000100000-000000000010012c.tar',
  ])
    expect(parseSegmentName(name)).toBeUndefined();
});

test('a reader that stops lets go of the body', async () => {
  let closed = false;
  const body = async function* (): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of inChunks(segment)) yield chunk;
    } finally {
      closed = true;
    }
  };
  for await (const found of readSegment(body(), { from: START, to: TO, stream: STREAM, trust: undefined })) {
    expect(found.facts.transactions).toBe(2);
    break;
  }
  expect(closed).toBe(true);
  await using tar = new TarReader(inChunks(segment));
  expect((await tar.next())?.name).toBe('1/segment.json');
});
