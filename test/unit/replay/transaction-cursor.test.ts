import { expect, test } from 'vitest';
import { TransactionCursor } from '../../../src/replay/transaction-cursor.ts';
import type { Step } from '../../../src/replay/transaction-cursor.ts';
import { pgoutput } from '../../support/pgoutput-messages.ts';

const R = pgoutput.relation(10, 'public', 't', [{ name: 'id', key: true, type: 23 }]);
const I = pgoutput.insert(10, [Buffer.from('1')]);
const T = pgoutput.truncate([10], 0);
const M = pgoutput.message({ transactional: true, lsn: 1n, prefix: 'p', content: Buffer.alloc(0) });
const B = (lsn: bigint): Buffer => pgoutput.begin(lsn, 5n, 7);
const C = (lsn: bigint): Buffer => pgoutput.commit(lsn, lsn + 8n, 5n);

function steps(cursor: TransactionCursor, messages: readonly Buffer[], inForce = false): Step[] {
  return messages.map((message) => cursor.feed({ inForce, message }));
}

test('messages in force belong to no transaction; a part of one may begin with them', () => {
  const cursor = new TransactionCursor();
  expect(steps(cursor, [R], true)).toEqual(['nothing']);
  expect(steps(cursor, [B(100n), I])).toEqual(['begin', 'change']);
  expect(steps(cursor, [R], true)).toEqual(['nothing']);
  expect(steps(cursor, [I, T, M, C(100n)])).toEqual(['change', 'truncate', 'message', 'commit']);
  expect(cursor).toMatchObject({ transaction: { xid: 7, commitLsn: 100n, commitTime: 5n }, endLsn: 108n });
  cursor.end();
});

test('a transaction that two writers stored is seen once', () => {
  const cursor = new TransactionCursor();
  expect(steps(cursor, [B(100n), R, I, C(100n), B(100n), I, M, C(100n), B(50n), I, T, C(50n)])).toEqual([
    'begin',
    'nothing',
    'change',
    'commit',
    ...Array.from({ length: 8 }, () => 'nothing'),
  ]);
  expect(steps(cursor, [B(200n), I, C(200n)])).toEqual(['begin', 'change', 'commit']);
});

test.for<[string, readonly Buffer[]]>([
  ['a row outside', [I]],
  ['a description outside', [R]],
  ['nested', [B(100n), B(200n)]],
  ['a commit of another', [B(100n), C(101n)]],
  ['a type of protocol 2', [Buffer.from('S')]],
  ['nothing', [Buffer.alloc(0)]],
])('refuses %s', ([, messages]) => {
  expect(() => steps(new TransactionCursor(), messages)).toThrow(
    expect.objectContaining({ code: 'integrity.format' }),
  );
});

test('refuses input that ends within a transaction', () => {
  const cursor = new TransactionCursor();
  steps(cursor, [B(100n)]);
  expect(() => cursor.end()).toThrow(expect.objectContaining({ code: 'integrity.format' }));
});
