import fc from 'fast-check';
import { expect, test } from 'vitest';
import { asLsn } from '../../../src/model/lsn.ts';
import { TransactionAssembler } from '../../../src/pgoutput/transaction-assembler.ts';
import type { Step } from '../../../src/pgoutput/transaction-assembler.ts';
import { pgoutput } from '../../support/pgoutput-messages.ts';

const ID = [{ name: 'id', key: true, type: 23 }];
const R = pgoutput.relation(10, 'public', 't', ID);
const I = pgoutput.insert(10, [Buffer.from('1')]);
const M = (transactional: boolean, lsn = 150n): Buffer =>
  pgoutput.message({ transactional, lsn, prefix: 'other', content: Buffer.from('x') });
const B = (lsn: bigint, xid = 7): Buffer => pgoutput.begin(lsn, 5n, xid);
const C = (lsn: bigint, end = lsn + 8n): Buffer => pgoutput.commit(lsn, end, 5n);

function steps(messages: readonly Buffer[], start = 0n): Step[] {
  const assembler = new TransactionAssembler({ start: asLsn(start), origin: 'source' });
  return messages.map((message) => assembler.feed(message));
}

test('a transaction, a message outside, and a pair without contents', () => {
  const O = pgoutput.origin(1n, 'elsewhere');
  expect(steps([B(100n), O, R, I, M(true), C(100n), M(false), B(200n), C(200n)])).toEqual([
    'begin',
    'other',
    'definition',
    'change',
    'other',
    'commit',
    'outside',
    'begin',
    'empty',
  ]);
  // An origin alone is no contents.
  expect(steps([B(100n), O, C(100n)])).toEqual(['begin', 'other', 'empty']);
});

test('facts of the transaction are read unsigned', () => {
  const assembler = new TransactionAssembler({ start: asLsn(0n), origin: 'source' });
  const oid = 0xffff_fff0;
  assembler.feed(pgoutput.begin(0xf000_0000_0000_0000n, -3n, 0xffff_fffe));
  expect(assembler).toMatchObject({ xid: 0xffff_fffe, commitLsn: 0xf000_0000_0000_0000n, commitTime: -3n });
  assembler.feed(pgoutput.relation(oid, 's', 't', ID));
  expect(assembler.feed(pgoutput.delete(oid, 'K', [Buffer.from('1')]))).toBe('change');
  expect(assembler.relation).toBe(oid);
  expect(assembler.feed(pgoutput.truncate([oid], 3))).toBe('truncate');
  expect(assembler.truncated).toEqual([oid]);
  expect(assembler.isOpen).toBe(true);
  assembler.feed(C(0xf000_0000_0000_0000n));
  expect(assembler).toMatchObject({ isOpen: false, endLsn: 0xf000_0000_0000_0008n });
});

test.for<[string, readonly Buffer[], RegExp]>([
  ['an empty payload', [Buffer.alloc(0)], /is empty/],
  ['an unknown tag', [Buffer.from('Sxxxx')], /type S is unknown/],
  ['nested', [B(100n), B(108n)], /within a transaction/],
  ['commit without begin', [C(100n)], /outside a transaction/],
  ['change outside', [B(100n), R, I, C(100n), I], /outside a transaction/],
  ['relation outside', [R], /outside a transaction/],
  ['transactional message outside', [M(true)], /outside a transaction/],
  ['other message within', [B(100n), M(false)], /comes within one/],
  ['another commit', [B(100n), R, I, C(101n)], /another transaction/],
  ['end before commit', [B(100n), R, I, C(100n, 100n)], /ends before it starts/],
  ['commits going back', [B(100n), R, I, C(100n), B(99n)], /goes back from 0\/64 to 0\/63/],
  ['the same commit twice', [B(100n), R, I, C(100n), B(100n)], /goes back/],
  ['no relation before', [B(100n), I], /relation 10, which was not described/],
  ['truncate of an unknown one', [B(100n), R, pgoutput.truncate([10, 11], 0)], /relation 11/],
  ['a short begin', [B(100n).subarray(0, 20)], /wrong length/],
  ['a long commit', [B(100n), R, I, Buffer.concat([C(100n), Buffer.from([0])])], /wrong length/],
  ['a change without a row', [B(100n), R, Buffer.from([0x49, 0, 0, 0, 10, 0x4b, 0, 0])], /no row/],
  ['a cut relation', [B(100n), R.subarray(0, -1)], /ends early/],
])('I 10: %s stops the stream', ([, messages, message]) => {
  expect(() => steps(messages)).toThrow(
    expect.objectContaining({ code: 'source.protocol', message: expect.stringMatching(message) }),
  );
});

test('I 11: what is stored already is dropped, but its relations stay known', () => {
  expect(steps([B(100n), R, I, C(100n), M(false, 199n), M(false, 200n), B(200n), I, C(200n)], 200n)).toEqual([
    'dropped',
    'dropped',
    'dropped',
    'dropped',
    'dropped',
    'outside',
    'begin',
    'change',
    'commit',
  ]);
});

test('a later description replaces the one in force, with the types that it needs', () => {
  const assembler = new TransactionAssembler({ start: asLsn(0n), origin: 'source' });
  const typed = [{ name: 'mood', key: false, type: 5000 }];
  const mood = pgoutput.type(5000, 'public', 'mood');
  const messages = [B(100n), R, mood, pgoutput.relation(10, 'public', 'renamed', typed)];
  for (const message of messages) assembler.feed(message);
  expect(assembler.relations.get(10)).toMatchObject({
    relation: { name: 'renamed' },
    raw: messages[3],
    types: [{ oid: 5000, raw: mood }],
  });
});

test('messages are copied: their memory may be reused (I 6)', () => {
  const assembler = new TransactionAssembler({ start: asLsn(0n), origin: 'source' });
  assembler.feed(B(100n));
  const reused = Buffer.from(R);
  assembler.feed(reused);
  reused.fill(0xff);
  expect(assembler.relations.get(10)?.raw.equals(R)).toBe(true);
});

test('I 10, I 11: cut anywhere and begun again from any tidemark, each transaction is kept once', () => {
  const transaction = fc.record({ rows: fc.nat(4), empty: fc.boolean() });
  const scenario = fc.record({
    transactions: fc.array(transaction, { minLength: 1, maxLength: 12 }),
    cut: fc.nat(),
    durable: fc.nat(),
  });
  fc.assert(
    fc.property(scenario, ({ transactions, cut, durable }) => {
      const sent = transactions.map(({ rows, empty }, index) => {
        const lsn = BigInt(100 + index * 10);
        return [B(lsn, index), ...(empty ? [] : [R, ...Array<Buffer>(rows).fill(I)]), C(lsn, lsn + 10n)];
      });
      const kept: number[] = [];
      const run = (messages: readonly Buffer[], start: bigint): bigint[] => {
        const assembler = new TransactionAssembler({ start: asLsn(start), origin: 'source' });
        return messages.flatMap((message) => {
          const step = assembler.feed(message);
          if (step === 'commit' || step === 'empty') kept.push(assembler.xid);
          return step === 'commit' || step === 'empty' ? [assembler.endLsn] : [];
        });
      };
      const all = sent.flat();
      const ends = run(all.slice(0, cut % (all.length + 1)), 100n);
      // Some of what committed is durable; the rest is lost with the process.
      const stored = ends.slice(0, durable % (ends.length + 1));
      kept.length = stored.length;
      // The server may send more than it must.
      run(all, stored.at(-1) ?? 100n);
      expect(kept).toEqual(transactions.map((_, index) => index));
    }),
  );
});
