import { createHash, createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { Beats, OwnMessages, heartbeatMessage, signedMessage } from '../../../src/capture/own-messages.ts';
import { asLsn } from '../../../src/model/lsn.ts';

const KEY = Buffer.alloc(32, 7);
const XID = (1n << 32n) + 77n;
const TRANSACTION = { xid: 77, commitLsn: asLsn(500n), endLsn: asLsn(540n), commitTime: 1_000_000n };

/** As pgoutput sends a logical message (REPLICATION G). */
function message(prefix: string, content: string | Buffer): Buffer {
  const body = Buffer.from(content);
  const head = Buffer.alloc(10);
  head[0] = 0x4d;
  head[1] = 1;
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([head, Buffer.from(`${prefix}\0`), length, body]);
}

function signed(facts: object, key = KEY): string {
  const body = JSON.stringify(facts);
  return `${createHmac('sha256', key).update(body).digest('hex')}\n${body}`;
}

function listener(beats = new Beats()): OwnMessages {
  return new OwnMessages({
    beats,
    signature: { key: KEY, sourceId: 'me' },
    around: XID + 5n,
    since: asLsn(400n),
  });
}

function said(own: OwnMessages, bytes: Buffer, xid = 77): ReturnType<OwnMessages['take']> {
  own.message(bytes, xid);
  own.commit({ ...TRANSACTION, xid });
  return own.take();
}

test('P12: a heartbeat counts when its nonce comes back with its xid, and by what we kept, not by what it says', () => {
  const beats = new Beats();
  beats.expect('n', { position: asLsn(0x10n), xid: XID, at: 9n });
  const bytes = message('tidemark:heartbeat', heartbeatMessage('n', { xid: '1', position: 'F/F' }));
  expect(said(listener(beats), bytes)).toMatchObject({
    ignored: 0,
    heartbeats: [{ position: '0/10', xid: String(XID), at: '9' }],
  });
  expect(said(listener(beats), bytes, 78)).toMatchObject({ ignored: 1, heartbeats: [] });
  const other = message('tidemark:heartbeat', heartbeatMessage('m', {}));
  expect(said(listener(beats), other)).toMatchObject({ ignored: 1, heartbeats: [] });
});

test('P12: a heartbeat from before a restart counts for nothing either, but nobody need hear of it', () => {
  const own = listener();
  own.message(message('tidemark:heartbeat', heartbeatMessage('n', {})), 77);
  own.commit({ ...TRANSACTION, commitLsn: asLsn(399n) });
  expect(own.take()).toMatchObject({ ignored: 0, heartbeats: [] });
});

const ddl = { kind: 'ddl', source: 'me', xid: String(XID) };
test.each<[string, string]>([
  ['another key', signed(ddl, Buffer.alloc(32, 8))],
  ['another source', signed({ ...ddl, source: 'you' })],
  ['another transaction', signed({ ...ddl, xid: '78' })],
  ['no xid', signed({ ...ddl, xid: 77 })],
  ['no digest', JSON.stringify(ddl)],
  ['a digest of nothing', `${'0'.repeat(64)}\n`],
  ['no JSON', `${createHmac('sha256', KEY).update('{').digest('hex')}\n{`],
])('P12: a DDL message with %s counts for nothing', (_, content) => {
  const words = said(listener(), message('tidemark:ddl', content));
  expect(words).toMatchObject({ ignored: 1, schemaChanges: [] });
});

test('a signed DDL message counts; a rewrite names its table, a mark its transaction; neither passes for the other', () => {
  const sha256 = createHash('sha256').update(signed(ddl)).digest('hex');
  expect(said(listener(), message('tidemark:ddl', signed(ddl)))).toMatchObject({
    schemaChanges: [{ xid: String(XID), sha256 }],
    ignored: 0,
  });
  const rewrite = { ...ddl, kind: 'rewrite', relation: { oid: '9', schema: 's', name: 't' } };
  expect(said(listener(), message('tidemark:ddl', signed(rewrite)))).toMatchObject({
    missed: [{ oid: 9, schema: 's', name: 't', reason: 'table-rewritten', commitLsn: 500n }],
  });
  const mark = { ...ddl, kind: 'mark', name: 'before' };
  expect(said(listener(), message('tidemark:mark', signed(mark)))).toMatchObject({
    marks: [{ name: 'before', xid: XID, commitLsn: 500n, endLsn: 540n }],
  });
  expect(said(listener(), message('tidemark:ddl', signed(mark))).ignored).toBe(1);
  expect(said(listener(), message('tidemark:mark', signed(ddl))).ignored).toBe(1);
});

test('a mark that we sign is one that we take, whatever its name', () => {
  const facts = { version: 1, kind: 'mark', name: 'nächtlich "1"\n', xid: String(XID) };
  const take = (sourceId: string, xid = 77): unknown =>
    said(listener(), message('tidemark:mark', signedMessage(facts, { key: KEY, sourceId })), xid);
  expect(take('me')).toMatchObject({ ignored: 0, marks: [{ name: facts.name, xid: XID }] });
  expect(take('you')).toMatchObject({ ignored: 1, marks: [] });
  expect(take('me', 78)).toMatchObject({ ignored: 1, marks: [] });
});

test('what other programs say under their own prefix is nobody’s business; what is open moves on with its transaction', () => {
  const own = listener();
  own.message(message('debezium', 'x'), 77);
  own.message(message('tidemark:ddl', signed(ddl)), 77);
  expect(own.take()).toMatchObject({ ignored: 0, schemaChanges: [] });
  own.commit(TRANSACTION);
  expect(own.take()).toMatchObject({ ignored: 0, schemaChanges: [{ xid: String(XID) }] });
});

test('I 26: a table that gets its key later in the transaction that made it misses what was updated in between', () => {
  const described = (oid: string, ...indexes: object[]) => ({
    oid,
    schema: 's',
    name: `t${oid}`,
    kind: 'r',
    indexes,
  });
  const key = { name: 'k', primary: true, replicaIdentity: false };
  const tells = (own: OwnMessages, ...relations: object[]): void =>
    own.message(message('tidemark:ddl', signed({ ...ddl, relations })), 77);
  const own = listener();
  tells(own, described('1'), described('2'));
  tells(own, described('2', key));
  tells(own, described('2', key));
  tells(own, described('3', key));
  own.commit(TRANSACTION);
  expect(own.take().missed).toMatchObject([{ oid: 2, reason: 'no-identity', commitLsn: 500n }]);
  tells(own, described('1', key));
  own.commit({ ...TRANSACTION, commitLsn: asLsn(600n) });
  expect(own.take().missed).toEqual([]);
});
