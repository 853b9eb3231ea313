import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Failure } from '../../../src/model/failure.ts';
import { decodeMessage } from '../../../src/pgoutput/decode.ts';
import type { Tuple } from '../../../src/pgoutput/tuple.ts';
import { pgoutput } from '../../support/pgoutput-messages.ts';

const oid = fc.integer({ min: 0, max: 0xffff_ffff });
const lsn = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const time = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n });
const name = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'));
const content = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const value = fc.oneof(fc.constant(null), fc.constant('unchanged' as const), content);
const row = fc.array(value, { maxLength: 6 });

function values(tuple: Tuple): unknown[] {
  return Array.from({ length: tuple.columns }, (_, column) => {
    const kind = tuple.kind(column);
    if (kind === 'n') return null;
    return kind === 'u' ? 'unchanged' : tuple.value(column);
  });
}

/** Pairs of a message's bytes and what must be read from it, tuples as arrays. */
const pair = fc.oneof(
  fc
    .tuple(lsn, time, oid)
    .map(
      ([commitLsn, commitTime, xid]) =>
        [pgoutput.begin(commitLsn, commitTime, xid), { kind: 'begin', commitLsn, commitTime, xid }] as const,
    ),
  fc
    .tuple(lsn, lsn, time)
    .map(
      ([commitLsn, endLsn, commitTime]) =>
        [
          pgoutput.commit(commitLsn, endLsn, commitTime),
          { kind: 'commit', commitLsn, endLsn, commitTime },
        ] as const,
    ),
  fc
    .tuple(lsn, name)
    .map(([at, text]) => [pgoutput.origin(at, text), { kind: 'origin', lsn: at, name: text }] as const),
  fc
    .tuple(oid, name, name)
    .map(
      ([type, schema, text]) =>
        [
          pgoutput.type(type, schema, text),
          { kind: 'type', oid: type, schema: schema === '' ? 'pg_catalog' : schema, name: text },
        ] as const,
    ),
  fc
    .tuple(oid, row)
    .map(
      ([relation, data]) =>
        [pgoutput.insert(relation, data), { kind: 'insert', relation, row: data }] as const,
    ),
  fc
    .tuple(oid, row, fc.option(fc.tuple(fc.constantFrom('K' as const, 'O' as const), row)))
    .map(([relation, data, old]) => {
      const sent = old === null ? undefined : { mark: old[0], row: old[1] };
      const read = old === null ? undefined : { kind: old[0] === 'K' ? 'key' : 'whole', tuple: old[1] };
      return [
        pgoutput.update(relation, data, sent),
        { kind: 'update', relation, old: read, row: data },
      ] as const;
    }),
  fc
    .tuple(oid, fc.constantFrom('K' as const, 'O' as const), row)
    .map(
      ([relation, mark, data]) =>
        [
          pgoutput.delete(relation, mark, data),
          { kind: 'delete', relation, old: { kind: mark === 'K' ? 'key' : 'whole', tuple: data } },
        ] as const,
    ),
  fc
    .tuple(fc.array(oid, { maxLength: 5 }), fc.nat(3))
    .map(
      ([relations, flags]) =>
        [
          pgoutput.truncate(relations, flags),
          { kind: 'truncate', relations, cascade: (flags & 1) === 1, restartIdentity: flags > 1 },
        ] as const,
    ),
  fc
    .record({ transactional: fc.boolean(), lsn, prefix: name, content })
    .map((message) => [pgoutput.message(message), { kind: 'message', ...message }] as const),
);

function plain(message: unknown): unknown {
  if (typeof message !== 'object' || message === null || Buffer.isBuffer(message)) return message;
  if ('kind' in message && typeof message.kind === 'function') return values(message as unknown as Tuple);
  if (Array.isArray(message)) return message;
  return Object.fromEntries(Object.entries(message).map(([key, field]) => [key, plain(field)]));
}

test('every message reads as it was written', () => {
  fc.assert(
    fc.property(pair, ([bytes, expected]) => {
      expect(plain(decodeMessage(bytes, 'source'))).toEqual(expected);
    }),
    { numRuns: 2000 },
  );
});

test('a relation reads as it was written', () => {
  const bytes = pgoutput.relation(
    0xffff_fff0,
    '',
    'a"b',
    [
      { name: 'id', key: true, type: 23 },
      { name: 'naïve', key: false, type: 0xf000_0000 },
    ],
    'i',
  );
  expect(decodeMessage(bytes, 'source')).toEqual({
    kind: 'relation',
    oid: 0xffff_fff0,
    schema: 'pg_catalog',
    name: 'a"b',
    identity: 'index',
    columns: [
      { name: 'id', isKey: true, typeOid: 23, typeModifier: -1 },
      { name: 'naïve', isKey: false, typeOid: 0xf000_0000, typeModifier: -1 },
    ],
  });
  for (let length = 0; length < bytes.length; length += 1) {
    expect(() => decodeMessage(bytes.subarray(0, length), 'storage')).toThrow(
      expect.objectContaining({ code: 'integrity.format' }),
    );
  }
});

test('a cut or lengthened message is refused, by the code of where it came from', () => {
  fc.assert(
    fc.property(pair, fc.nat(), ([bytes], cut) => {
      const cutBytes = bytes.subarray(0, cut % bytes.length);
      expect(() => decodeMessage(cutBytes, 'source')).toThrow(
        expect.objectContaining({ code: 'source.protocol' }),
      );
      const longer = Buffer.concat([bytes, Buffer.from([0])]);
      expect(() => decodeMessage(longer, 'storage')).toThrow(
        expect.objectContaining({ code: 'integrity.format' }),
      );
    }),
    { numRuns: 1000 },
  );
});

test('whatever the bytes are, nothing but a Failure is thrown, and it quotes none of them', () => {
  const tags = fc.constantFrom(...Buffer.from('BCORYIUDTMSEcAbPKrp'));
  const bytes = fc
    .tuple(fc.option(tags, { nil: undefined }), fc.uint8Array({ maxLength: 60 }))
    .map(([tag, rest]) => Buffer.concat([tag === undefined ? Buffer.alloc(0) : Buffer.from([tag]), rest]));
  let refused = 0;
  fc.assert(
    fc.property(bytes, (message) => {
      try {
        decodeMessage(message, 'storage');
      } catch (error) {
        refused += 1;
        expect(error).toBeInstanceOf(Failure);
        expect((error as Failure).code).toBe('integrity.format');
        expect(JSON.stringify([(error as Failure).message, (error as Failure).facts]).length).toBeLessThan(
          120,
        );
      }
    }),
    { numRuns: 5000 },
  );
  expect(refused).toBeGreaterThan(3000);
});

test('negative counts and unknown marks are named', () => {
  const hostile: readonly (readonly [Buffer, RegExp])[] = [
    [Buffer.from([0x54, 0xff, 0xff, 0xff, 0xff, 0]), /negative length/],
    [Buffer.from([0x49, 0, 0, 0, 1, 0x4e, 0xff, 0xff]), /negative number of columns/],
    [Buffer.from([0x49, 0, 0, 0, 1, 0x4e, 0, 1, 0x74, 0xff, 0xff, 0xff, 0xff]), /negative length/],
    [Buffer.from([0x49, 0, 0, 0, 1, 0x4e, 0, 1, 0x78]), /unknown kind/],
    [Buffer.from([0x49, 0, 0, 0, 1, 0x4b, 0, 0]), /no new row/],
    [Buffer.from([0x44, 0, 0, 0, 1, 0x4e, 0, 0]), /no old row/],
    [Buffer.from([0x54, 0, 0, 0, 0, 4]), /unknown flag/],
    [Buffer.from([0x53, 0, 0, 0, 1, 1]), /type S is unknown to protocol 1/],
    [Buffer.from([0x54, 0x7f, 0xff, 0xff, 0xff, 0]), /ends early/],
  ];
  for (const [bytes, message] of hostile) expect(() => decodeMessage(bytes, 'source')).toThrow(message);
});
