import { expect, test } from 'vitest';
import { CaptureTidings } from '../../../src/app/capture-tidings.ts';
import type { CaptureEvent } from '../../../src/capture/events.ts';
import { Failure } from '../../../src/model/failure.ts';

const MINUTE = 60_000;
const failure = new Failure('source.unreachable', 'no route');
const lost: CaptureEvent = { kind: 'lost', failure, retryMs: 500 };
const streaming: CaptureEvent = { kind: 'streaming', stream: 's', from: '0/1' };
const status = (tidemark: string): CaptureEvent => ({
  kind: 'status',
  stream: 's',
  tidemark,
  transactions: 0,
  storedBytes: 0,
  ownLagBytes: '0',
  pinnedLagBytes: '0',
  secondsLeft: undefined,
  paused: false,
});

test('a lost connection is told when it has lasted, and that it is back', () => {
  const tidings = new CaptureTidings();
  expect(tidings.of(lost, 0)).toEqual([]);
  expect(tidings.lasting(4 * MINUTE)).toEqual([]);
  expect(tidings.lasting(5 * MINUTE)).toMatchObject([{ kind: 'failure', code: 'source.unreachable' }]);
  expect(tidings.of(lost, 6 * MINUTE)).toMatchObject([{ kind: 'failure' }]);
  expect(tidings.of(streaming, 7 * MINUTE)).toMatchObject([{ kind: 'recovery', subject: 'capture' }]);
  // From anew.
  expect(tidings.of(lost, 8 * MINUTE)).toEqual([]);
});

test('trouble with the repository is over when something is stored again', () => {
  const tidings = new CaptureTidings();
  tidings.of(status('0/1'), 0);
  tidings.of({ kind: 'store-trouble', failure: new Failure('repository.full', 'full') }, 0);
  expect(tidings.of(status('0/1'), MINUTE)).toEqual([]);
  expect(tidings.lasting(5 * MINUTE)).toMatchObject([{ code: 'repository.full' }]);
  expect(tidings.of(status('0/2'), 6 * MINUTE)).toMatchObject([{ kind: 'recovery' }]);
  expect(tidings.lasting(60 * MINUTE)).toEqual([]);
});

test('gaps, and snapshots that fail to follow them, are told at once', () => {
  const tidings = new CaptureTidings();
  const gap = { id: 'g', reason: 'slot-lost', from: { lsn: '0/1' } } as never;
  expect(tidings.of({ kind: 'gap', gap, why: 'gone' }, 0)).toMatchObject([
    { kind: 'failure', subject: 'gap', code: 'stream.gap' },
  ]);
  expect(
    tidings.of({ kind: 'snapshot-alert', failure: new Failure('snapshot.limit', 'four') }, 0),
  ).toMatchObject([{ subject: 'gap', code: 'snapshot.limit' }]);
  expect(tidings.of({ kind: 'snapshot-taken', snapshot: 's', tables: 1 }, 0)).toMatchObject([
    { kind: 'recovery', subject: 'gap' },
  ]);
});
