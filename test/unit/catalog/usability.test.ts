import { expect, test } from 'vitest';
import type { Manifest } from '../../../src/archive/manifest.ts';
import type { GapDocument } from '../../../src/archive/stream-documents.ts';
import type { Repository } from '../../../src/catalog/repository.ts';
import { judgeSnapshot } from '../../../src/catalog/usability.ts';
import type { StreamFacts } from '../../../src/catalog/usability.ts';
import { asLsn, formatLsn } from '../../../src/model/lsn.ts';
import { gapOf, manifestOf, streamDocument } from '../../support/stream-fixture.ts';

const repository = { document: { repositoryId: 'r' } } as Repository;
const at = (value: number): string => formatLsn(asLsn(BigInt(value)));
const lsn = (value: number) => asLsn(BigInt(value));
const stream: StreamFacts = {
  id: 's',
  document: streamDocument(repository, { id: 's', start: at(100) }),
  start: lsn(100),
  covered: [{ from: lsn(100), to: lsn(1000) }],
  ended: false,
};
const xidTie = (upper: number, scanFrom?: number): Manifest['tie'] => ({
  kind: 'xid',
  stream: 's',
  snapshot: '50:60:55',
  upper: at(upper),
  ...(scanFrom !== undefined && { scanFrom: at(scanFrom) }),
});
const gap = (from: number, to?: number): GapDocument =>
  gapOf({
    id: `g${from}`,
    stream: 's',
    from: { lsn: at(from) },
    ...(to !== undefined && { to: { lsn: at(to), stream: 's' } }),
  });
const judge = (
  tie: Manifest['tie'],
  known: { stream?: StreamFacts | undefined; gaps?: GapDocument[]; heartbeat?: number | undefined } = {},
) => {
  const { gaps = [], heartbeat } = known;
  return judgeSnapshot(manifestOf(repository, { id: 'x', tie }), {
    stream: 'stream' in known ? known.stream : stream,
    gaps,
    heartbeatAt: heartbeat === undefined ? undefined : lsn(heartbeat),
  });
};

test('usable: a heartbeat before it, and changes up to the end or the next gap', () => {
  const expected = { kind: 'usable', scanFrom: 400n, upper: 500n, until: 1000n };
  expect(judge(xidTie(500), { heartbeat: 400 })).toMatchObject(expected);
  expect(judge(xidTie(500, 400))).toMatchObject(expected);
  expect(judge(xidTie(500, 400), { gaps: [gap(700, 750), gap(600)] })).toMatchObject({ until: 600n });
  expect(judge(xidTie(500, 400), { gaps: [gap(500)] })).toMatchObject({ until: 500n });
  expect(judge(xidTie(500, 400), { gaps: [gap(200, 300), gap(300, 400)] })).toMatchObject(expected);
  expect(judge(xidTie(1000, 400))).toMatchObject({ kind: 'usable', until: 1000n });
  expect(judge({ kind: 'position', stream: 's', lsn: at(500) })).toMatchObject({
    kind: 'usable',
    scanFrom: 500n,
    upper: 500n,
    until: 1000n,
  });
});

test('waiting: capture has not passed it, and still may', () => {
  expect(judge(xidTie(1001, 400))).toEqual({ kind: 'waiting', stream: 's', for: 1001n });
  const ended = { ...stream, ended: true };
  expect(judge(xidTie(1001, 400), { stream: ended })).toMatchObject({ kind: 'own-instant' });
  expect(judge(xidTie(1001, 400), { gaps: [gap(1000)] })).toMatchObject({ kind: 'own-instant' });
  expect(judge(xidTie(1001, 400), { gaps: [gap(500, 600)] })).toMatchObject({ kind: 'waiting' });
});

test.for<[string, ReturnType<typeof judge>, RegExp]>([
  [
    'no stream when it was taken',
    judge({ kind: 'none', snapshot: '5:6:', upper: at(500) }),
    /no change stream/,
  ],
  ['its stream is gone', judge(xidTie(500, 400), { stream: undefined }), /is not there/],
  ['no heartbeat', judge(xidTie(500)), /no heartbeat/],
  [
    'a heartbeat from before the stream',
    judge(xidTie(500), { heartbeat: 99 }),
    /older than its change stream/,
  ],
  [
    'pruned up to behind its heartbeat',
    judge(xidTie(500, 400), { stream: { ...stream, covered: [{ from: lsn(450), to: lsn(1000) }] } }),
    /not stored without a hole/,
  ],
  [
    'a hole around it',
    judge(xidTie(500, 400), {
      stream: {
        ...stream,
        covered: [
          { from: lsn(100), to: lsn(450) },
          { from: lsn(550), to: lsn(1000) },
        ],
      },
    }),
    /are not stored/,
  ],
  [
    'a gap from before it to behind its heartbeat',
    judge(xidTie(500, 400), { gaps: [gap(300, 401)] }),
    /a gap/,
  ],
  ['a gap that never ends', judge(xidTie(500, 400), { gaps: [gap(300)] }), /a gap/],
  [
    'a stream of another server',
    judge(xidTie(500, 400), {
      stream: {
        ...stream,
        document: { ...stream.document, server: { ...stream.document.server, systemIdentifier: '1' } },
      },
    }),
    /another server/,
  ],
])('own instant only: %s', ([, use, reason]) => {
  expect(use).toEqual({ kind: 'own-instant', reason: expect.stringMatching(reason) as string });
});
