import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createOpener, createSealer, generateIdentity } from '../../../src/archive/age.ts';
import { sha256Hex } from '../../../src/archive/digest.ts';
import { assertFollows } from '../../../src/archive/run-document.ts';
import { readSegment, transactionsOf } from '../../../src/archive/segment-reader.ts';
import type { StoredRun } from '../../../src/archive/segment-reader.ts';
import { packPart, packRun, packSegment } from '../../../src/archive/segment-writer.ts';
import type { PackedPart, PackedRun } from '../../../src/archive/segment-writer.ts';
import { parseSegmentName } from '../../../src/archive/stream-names.ts';
import type { TransactionEntry } from '../../../src/archive/transaction-columns.ts';
import { createSigner, createTrust } from '../../../src/archive/signature.ts';
import type { Signer } from '../../../src/archive/signature.ts';
import { asLsn } from '../../../src/model/lsn.ts';
import type { Lsn } from '../../../src/model/lsn.ts';
import { STREAM, inChunks, messagesOf, nameOf, recordsOfRun, session } from '../../support/change-stream.ts';
import { pgoutput } from '../../support/pgoutput-messages.ts';
import { decodeMessage } from '../../../src/pgoutput/decode.ts';

const MODIFIED = new Date('2026-11-24T00:00:00Z');
const GENESIS = sha256Hex(Buffer.from('stream.json'));
const START = asLsn(0x1_0000_0000n);
type Column = { readonly name: string; readonly key: boolean; readonly type: number };

interface Change {
  readonly kind: 'insert' | 'update' | 'delete' | 'truncate' | 'message' | 'describe';
  readonly table: number;
  readonly bytes: number;
}

const change = fc.record({
  kind: fc.constantFrom('insert', 'update', 'delete', 'truncate', 'message', 'describe'),
  table: fc.integer({ min: 1, max: 4 }),
  bytes: fc.oneof({ weight: 9, arbitrary: fc.nat(60) }, { weight: 1, arbitrary: fc.nat(3000) }),
}) satisfies fc.Arbitrary<Change>;
const history = fc.array(
  fc.record({ changes: fc.array(change, { maxLength: 12 }), backwards: fc.boolean() }),
  { minLength: 1, maxLength: 15 },
);

/** A session's messages; relations have versions, whose number of columns is in each row. */
function messagesFor(transactions: readonly { changes: readonly Change[]; backwards: boolean }[]): Buffer[] {
  const versions = new Map<number, number>();
  return transactions.flatMap(({ changes, backwards }, index) => {
    const lsn = START + BigInt(index * 1000 + (index % 3));
    const time = 848_743_319_123_456n + (backwards ? -5000n : BigInt(index) * 777n);
    const body = changes.flatMap((one) => changeMessages(one, versions));
    return [
      pgoutput.begin(lsn, time, 0xffff_fff0 + index - 20),
      ...body,
      pgoutput.commit(lsn, lsn + 900n, time),
    ];
  });
}

function changeMessages({ kind, table, bytes }: Change, versions: Map<number, number>): Buffer[] {
  if (kind === 'message')
    return [pgoutput.message({ transactional: true, lsn: 1n, prefix: 'p', content: Buffer.alloc(bytes, 7) })];
  const described = kind === 'describe' || !versions.has(table) ? describeMessages(table, versions) : [];
  const row = Array.from({ length: versions.get(table) ?? 0 }, () => Buffer.alloc(bytes, table));
  if (kind === 'insert') return [...described, pgoutput.insert(table, row)];
  if (kind === 'update') return [...described, pgoutput.update(table, row)];
  if (kind === 'delete') return [...described, pgoutput.delete(table, 'K', row)];
  return kind === 'truncate' ? [...described, pgoutput.truncate([table], 0)] : described;
}

/** Tables above 2 have a column of a type that needs a Type message. */
function describeMessages(table: number, versions: Map<number, number>): Buffer[] {
  const version = (versions.get(table) ?? 0) + 1;
  versions.set(table, version);
  const columns: Column[] = Array.from({ length: version }, (_, at) => ({
    name: `c${at}`,
    key: at === 0,
    type: at === 0 && table > 2 ? 5000 : 23,
  }));
  const type = table > 2 ? [pgoutput.type(5000, 'public', 'mood')] : [];
  return [...type, pgoutput.relation(table, 'public', `t${table}`, columns)];
}

function signerOf(): Signer {
  const { privateKey } = generateKeyPairSync('ed25519');
  return createSigner(privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(), 'a key');
}

interface Stored {
  readonly runs: PackedRun[];
  readonly segments: { readonly name: string; readonly bytes: Buffer }[];
  readonly parts: PackedPart[];
}

/** Feeds a session and stores it as a policy says which looks at nothing but sizes. */
async function store(
  messages: readonly Buffer[],
  options: {
    readonly memberBytes?: number;
    readonly runBytes?: number;
    readonly takeAt?: (index: number) => boolean;
    readonly sealer?: Parameters<typeof packRun>[1]['sealer'];
    readonly signer?: Signer;
  } = {},
): Promise<Stored> {
  const { writer, assembler, feed } = session({
    start: START,
    memberBytes: options.memberBytes ?? 1000,
    sealer: options.sealer,
  });
  const stored: Stored = { runs: [], segments: [], parts: [] };
  let parts: PackedPart[] = [];
  const how = { stream: STREAM, sealer: options.sealer, signer: options.signer };
  const takeRun = async (): Promise<void> => {
    const taken = writer.takeRun();
    const previous = stored.runs.at(-1)?.chain ?? GENESIS;
    const run = await packRun(taken, { ...how, previous, heartbeats: [], ddl: 'inferred', parts });
    parts = [];
    stored.runs.push(run);
    stored.segments.push({ name: nameOf([taken]), bytes: await packSegment([run], { modified: MODIFIED }) });
  };
  for (const [index, message] of messages.entries()) {
    feed(message);
    const isDue = writer.wholeBytes >= (options.runBytes ?? 3000) || options.takeAt?.(index) === true;
    if (isDue && writer.transactions > 0) await takeRun();
    if (!assembler.isOpen || writer.openBytes < (options.runBytes ?? 3000)) continue;
    if (writer.transactions > 0) await takeRun();
    const part = { ...how, finalLsn: assembler.commitLsn, attempt: 'a1b2c3', number: parts.length + 1 };
    const packed = await packPart(writer.takePart(), { ...part, modified: MODIFIED });
    parts.push(packed);
    stored.parts.push(packed);
  }
  if (writer.transactions > 0) await takeRun();
  return stored;
}

const isEmptyPair = (messages: readonly Buffer[], index: number): boolean =>
  (messages[index]?.[0] === 0x42 && messages[index + 1]?.[0] === 0x43) ||
  (messages[index]?.[0] === 0x43 && messages[index - 1]?.[0] === 0x42);
const withContents = (messages: readonly Buffer[]): Buffer[] =>
  messages.filter((_, index) => !isEmptyPair(messages, index));

test('what is stored comes back byte for byte, wherever it was cut into members, runs and parts', async () => {
  let parts = 0;
  await fc.assert(
    fc.asyncProperty(
      history,
      fc.integer({ min: 60, max: 4000 }),
      fc.nat(9),
      async (transactions, size, at) => {
        const messages = messagesFor(transactions);
        const options = {
          memberBytes: size,
          runBytes: size * 2,
          takeAt: (index: number) => index % 10 === at,
        };
        const stored = await store(messages, options);
        parts += stored.parts.length;
        const read: Buffer[] = [];
        for (const { name, bytes } of stored.segments) read.push(...(await messagesOf(bytes, name, stored)));
        expect(Buffer.concat(read).equals(Buffer.concat(withContents(messages)))).toBe(true);
      },
    ),
    { numRuns: 60 },
  );
  expect(parts).toBeGreaterThan(10);
});

test('every run and every part stands alone: each change follows the description that was in force', async () => {
  await fc.assert(
    fc.asyncProperty(
      history,
      fc.integer({ min: 60, max: 4000 }),
      fc.nat(9),
      async (transactions, size, at) => {
        const options = {
          memberBytes: size,
          runBytes: size * 2,
          takeAt: (index: number) => index % 10 === at,
        };
        const { segments } = await store(messagesFor(transactions), options);
        for (const { name, bytes } of segments) {
          for await (const run of readSegment(inChunks(bytes), {
            ...stretchOf(name),
            stream: STREAM,
            trust: undefined,
          })) {
            const columns = new Map<number, number>();
            const types = new Set<number>();
            for await (const { message } of recordsOfRun(run)) checkDescribed(message, columns, types);
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});

function checkDescribed(message: Buffer, columns: Map<number, number>, types: Set<number>): void {
  const decoded = decodeMessage(message, 'storage');
  if (decoded.kind === 'type') types.add(decoded.oid);
  if (decoded.kind === 'relation') {
    columns.set(decoded.oid, decoded.columns.length);
    for (const column of decoded.columns)
      expect(column.typeOid === 23 || types.has(column.typeOid)).toBe(true);
  }
  if (decoded.kind === 'insert') expect(columns.get(decoded.relation)).toBe(decoded.row.columns);
  if (decoded.kind === 'truncate') expect(columns.has(decoded.relations[0] ?? 0)).toBe(true);
}

function stretchOf(name: string): { from: Lsn; to: Lsn } {
  const stretch = parseSegmentName(name);
  if (stretch === undefined) throw new Error(`no segment: ${name}`);
  return stretch;
}

async function runsOf(bytes: Buffer, name: string): Promise<StoredRun[]> {
  return Array.fromAsync(
    readSegment(inChunks(bytes), { ...stretchOf(name), stream: STREAM, trust: undefined }),
  );
}

async function transactionsIn({ bytes, name }: { bytes: Buffer; name: string }): Promise<TransactionEntry[]> {
  const entries: TransactionEntry[] = [];
  for await (const run of readSegment(inChunks(bytes), {
    ...stretchOf(name),
    stream: STREAM,
    trust: undefined,
  })) {
    for await (const member of run.members())
      entries.push(...((await transactionsOf(member, run.facts, undefined)) ?? []));
  }
  return entries;
}

test('the columns say of each transaction what its messages say', async () => {
  await fc.assert(
    fc.asyncProperty(history, async (transactions) => {
      const messages = messagesFor(transactions);
      const { segments, runs } = await store(messages);
      const entries = (await Promise.all(segments.map(transactionsIn))).flat();
      const expected = transactions.flatMap(({ changes, backwards }, index) =>
        changes.length === 0 ? [] : [{ changes, backwards, index }],
      );
      expect(entries.length).toBe(expected.length);
      for (const [at, { changes, backwards, index }] of expected.entries()) {
        const lsn = START + BigInt(index * 1000 + (index % 3));
        expect(entries[at]).toMatchObject({
          xid: 0xffff_fff0 + index - 20,
          commitLsn: lsn,
          endLsn: lsn + 900n,
          commitTime: 848_743_319_123_456n + (backwards ? -5000n : BigInt(index) * 777n),
          messages: changes.filter(({ kind }) => kind === 'message').length,
        });
        const rows = changes.filter(({ kind }) => kind !== 'message' && kind !== 'describe').length;
        expect(entries[at]?.rows.reduce((sum, entry) => sum + entry.rows, 0)).toBe(rows);
      }
      const total = runs.flatMap(({ facts }) => facts.tables).reduce((sum, table) => sum + table.inserts, 0);
      const inserts = transactions.flatMap(({ changes }) => changes).filter(({ kind }) => kind === 'insert');
      expect(total).toBe(inserts.length);
      expect(runs.reduce((sum, { facts }) => sum + facts.transactions, 0)).toBe(expected.length);
    }),
    { numRuns: 60 },
  );
});

const one = (index: number, rows = 3): { changes: Change[]; backwards: boolean } => ({
  changes: Array.from({ length: rows }, (_, at) => ({
    kind: 'insert',
    table: 1 + ((at + index) % 4),
    bytes: 20,
  })),
  backwards: index % 4 === 3,
});

test('I 40: the latest time never goes back, and a run’s own times are its own', async () => {
  const { runs } = await store(messagesFor(Array.from({ length: 12 }, (_, index) => one(index))), {
    runBytes: 1,
  });
  const latest = runs.map(({ facts }) => BigInt(facts.latestCommitTime ?? 0));
  expect(latest.length).toBeGreaterThan(10);
  expect(latest.every((time, index) => time >= (latest[index - 1] ?? 0n))).toBe(true);
  expect(runs.some(({ facts }) => facts.maxCommitTime !== facts.latestCommitTime)).toBe(true);
});

test('a signed run is read where its key is trusted; unsigned, foreign or changed ones are refused', async () => {
  const [mine, other] = [signerOf(), signerOf()];
  const messages = messagesFor(Array.from({ length: 3 }, (_, index) => one(index)));
  const segmentOf = async (signer?: Signer): Promise<Stored['segments'][number]> => {
    const { segments } = await store(messages, {
      runBytes: 1e6,
      takeAt: () => true,
      ...(signer && { signer }),
    });
    const [segment] = segments;
    if (segment === undefined) throw new Error('nothing was stored');
    return segment;
  };
  const read = async (
    { name, bytes }: Stored['segments'][number],
    trusted: Signer | undefined,
  ): Promise<number> => {
    const trust = trusted && createTrust([trusted.publicKey]);
    return (
      await Array.fromAsync(readSegment(inChunks(bytes), { ...stretchOf(name), stream: STREAM, trust }))
    ).length;
  };
  const signed = await segmentOf(mine);
  expect(await read(signed, mine)).toBe(1);
  expect(await read(signed, undefined)).toBe(1);
  await expect(read(signed, other)).rejects.toMatchObject({ code: 'integrity.signature' });
  await expect(read(await segmentOf(), mine)).rejects.toMatchObject({ code: 'integrity.unsigned' });
  const at = signed.bytes.indexOf('"ddl":"inferred"') + 7;
  for (const change of [512, at]) {
    const bytes = Buffer.from(signed.bytes);
    bytes.writeUInt8(bytes.readUInt8(change) ^ 1, change);
    await expect(read({ ...signed, bytes }, mine)).rejects.toMatchObject({ code: 'integrity.signature' });
  }
});

test('a merge copies runs unchanged, with their signatures, and needs no key', async () => {
  const { identity, recipient } = await generateIdentity();
  const signer = signerOf();
  const messages = messagesFor(Array.from({ length: 12 }, (_, index) => one(index)));
  const { segments } = await store(messages, { runBytes: 400, sealer: createSealer([recipient]), signer });
  expect(segments.length).toBeGreaterThan(3);
  const copied: Pick<PackedRun, 'members'>[] = [];
  for (const { bytes, name } of segments) {
    for await (const run of readSegment(inChunks(bytes), {
      ...stretchOf(name),
      stream: STREAM,
      trust: undefined,
    })) {
      const members = await Array.fromAsync(run.members());
      const copies = members.map((member) => ({ name: member.facts.name, bytes: member.bytes }));
      copied.push({ members: [...run.head, ...copies] });
    }
  }
  const merged = await packSegment(copied, { modified: MODIFIED });
  const trust = createTrust([signer.publicKey]);
  const first = stretchOf(segments[0]?.name ?? '');
  const name = nameOf([{ from: first.from, to: stretchOf(segments.at(-1)?.name ?? '').to }]);
  const read = await messagesOf(merged, name, { opener: createOpener([identity]) });
  expect(Buffer.concat(read).equals(Buffer.concat(messages))).toBe(true);
  const how = { ...stretchOf(name), stream: STREAM, trust };
  expect(await Array.fromAsync(readSegment(inChunks(merged), how))).toHaveLength(segments.length);
  await expect(messagesOf(merged, name)).rejects.toMatchObject({ code: 'key.missing' });
  const whole = await runsOf(merged, name);
  expect(whole.length).toBe(segments.length);
  expect(merged.includes(Buffer.alloc(20, 1))).toBe(false);
});

test('I 44: a missing, replaced or reordered run is named', async () => {
  const { runs } = await store(messagesFor(Array.from({ length: 8 }, (_, index) => one(index))), {
    runBytes: 1,
  });
  const [first, second, third] = runs;
  if (first === undefined || second === undefined || third === undefined) throw new Error('too few runs');
  assertFollows({ start: first.facts.from, streamSha256: GENESIS }, first);
  assertFollows(first, second);
  const chain = expect.objectContaining({ code: 'integrity.chain' });
  expect(() => assertFollows(first, third)).toThrow(chain);
  expect(() => assertFollows(second, first)).toThrow(chain);
  expect(() => assertFollows({ ...first, chain: GENESIS }, second)).toThrow(chain);
  expect(() =>
    assertFollows({ start: first.facts.from, streamSha256: sha256Hex(Buffer.from('x')) }, first),
  ).toThrow(chain);
  const swapped = await packSegment([first, third], { modified: MODIFIED });
  const name = nameOf([
    { from: START, to: stretchOf(nameOf([{ from: START, to: asLsn(START + 2900n) }])).to },
  ]);
  await expect(runsOf(swapped, name)).rejects.toMatchObject({ code: 'integrity.format' });
});

test('an idle advance is a run without transactions', async () => {
  const { writer } = session({ start: START });
  const taken = writer.takeRun(asLsn(START + 5000n));
  const how = { stream: STREAM, previous: GENESIS, sealer: undefined, heartbeats: [], ddl: 'exact' as const };
  const run = await packRun(taken, how);
  const name = nameOf([taken]);
  const [read] = await runsOf(await packSegment([run], { modified: MODIFIED }), name);
  expect(read?.facts).toMatchObject({ from: '1/0', to: '1/1388', transactions: 0, members: [] });
  expect(read?.chain).toBe(run.chain);
  expect(writer.takeRun(asLsn(START + 6000n)).from).toBe(START + 5000n);
});

test('tar and zstd read a run by hand', async () => {
  const messages = messagesFor([one(0), one(1)]);
  const { segments } = await store(messages, { runBytes: 1e6, memberBytes: 1e6 });
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-segment-'));
  try {
    writeFileSync(join(folder, 's.tar'), segments[0]?.bytes ?? '');
    execFileSync('tar', ['xf', 's.tar'], { cwd: folder });
    const names = execFileSync('tar', ['tf', 's.tar'], { cwd: folder, encoding: 'utf8' }).trim().split('\n');
    expect(names).toEqual(['1/segment.json', '1/transactions.zst', '1/0000.pgoutput.zst']);
    const plain = execFileSync('zstd', ['-dcq', '1/0000.pgoutput.zst'], { cwd: folder });
    const records = messages.map((message) => {
      const header = Buffer.alloc(5);
      header.writeUInt32BE(message.length);
      return Buffer.concat([header, message]);
    });
    expect(plain.equals(Buffer.concat(records))).toBe(true);
    const { facts } = JSON.parse(readFileSync(join(folder, '1/segment.json'), 'utf8')) as { facts: unknown };
    expect(facts).toMatchObject({ kind: 'tidemark-run', transactions: 2 });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('members of megabytes, whose memory is given back, are stored whole', async () => {
  const noise = Array.from({ length: 6 }, () => randomBytes(700_000));
  const transactions = noise.map((value, index) => {
    const lsn = START + BigInt(index * 1000);
    const relation = pgoutput.relation(1, 'public', 't', [{ name: 'a', key: true, type: 17 }]);
    const row = pgoutput.insert(1, [value]);
    const rows = index === 3 ? Array<Buffer>(5).fill(row) : [row];
    return [pgoutput.begin(lsn, 5n, 7), relation, ...rows, pgoutput.commit(lsn, lsn + 900n, 5n)];
  });
  const stored = await store(transactions.flat(), { memberBytes: 1_000_000, runBytes: 2_000_000 });
  expect(stored.parts.length).toBeGreaterThan(0);
  const read: Buffer[] = [];
  for (const { name, bytes } of stored.segments) read.push(...(await messagesOf(bytes, name, stored)));
  expect(Buffer.concat(read).equals(Buffer.concat(transactions.flat()))).toBe(true);
});

test('the transactions of one row each take at most 15 % of what is stored', async () => {
  const relation = pgoutput.relation(1, 'public', 't', [{ name: 'a', key: true, type: 23 }]);
  const { writer, feed } = session({ start: START });
  const random = fc.sample(fc.tuple(fc.nat(40), fc.nat(2000), fc.nat(999_999)), { numRuns: 5000, seed: 1 });
  let lsn: bigint = START;
  let time = 848_743_319_123_456n;
  for (const [index, [words, wait, key]] of random.entries()) {
    lsn += BigInt(160 + words * 8);
    time += BigInt(wait);
    feed(pgoutput.begin(lsn, time, 700 + index));
    if (index === 0) feed(relation);
    feed(pgoutput.insert(1, [Buffer.from(String(key))]));
    feed(pgoutput.commit(lsn, lsn + 48n, time));
    lsn += 48n;
  }
  const how = { stream: STREAM, previous: GENESIS, sealer: undefined, heartbeats: [], ddl: 'exact' as const };
  const { members } = (await packRun(writer.takeRun(), how)).facts;
  const stored = members.reduce((sum, member) => sum + member.sizeBytes, 0);
  expect(members[0]?.name).toBe('transactions.zst');
  expect((members[0]?.sizeBytes ?? stored) / stored).toBeLessThan(0.15);
});

test('the writer refuses misuse', () => {
  const { writer, assembler, feed } = session({ start: START });
  const [begin, ...rest] = messagesFor([one(0)]);
  expect(() => writer.commit(Buffer.alloc(26), START)).toThrow(TypeError);
  feed(begin ?? Buffer.alloc(0));
  expect(() => writer.begin(begin ?? Buffer.alloc(0), assembler)).toThrow(TypeError);
  expect(() => writer.takeRun(asLsn(START + 1n))).toThrow(TypeError);
  for (const message of rest) feed(message);
  expect(() => writer.takePart()).toThrow(TypeError);
  expect(() => writer.takeRun(START)).toThrow(TypeError);
});
