import { expect, test } from 'vitest';
import { Failure } from '../../../src/model/failure.ts';
import { asLsn } from '../../../src/model/lsn.ts';
import { judgeStatus } from '../../../src/monitor/judge-status.ts';
import type { StatusFacts } from '../../../src/monitor/judge-status.ts';
import type { SlotStand, SourceLook } from '../../../src/monitor/look-at-source.ts';

const SECOND = 1_000_000n;
const NOW = 800_000_000n * SECOND;
const TIDEMARK = asLsn(1_000_000n);

const SLOT: SlotStand = {
  confirmed: TIDEMARK,
  restart: asLsn(900_000n),
  walStatus: 'reserved',
  safeBytes: 1_000_000_000n,
  activePid: 7,
  lost: false,
  lostWhy: undefined,
};
const LOOK: SourceLook = { at: NOW, position: asLsn(1_500_000n), keepMegabytes: 1000n, slot: SLOT };
const SNAPSHOT = { id: 's1', at: NOW - 7200n * SECOND, waiting: false };
const FACTS: StatusFacts = {
  now: NOW,
  source: LOOK,
  stream: { tidemark: TIDEMARK, latestCommitTime: NOW - 10n * SECOND },
  windowEnds: [TIDEMARK],
  snapshots: [SNAPSHOT],
  refused: 0,
  limited: [],
  slotLimit: undefined,
  schedules: [],
};

const slotIs = (
  slot: Partial<SlotStand> | undefined,
  look: Partial<SourceLook> = {},
): Partial<StatusFacts> => ({
  source: { ...LOOK, ...look, slot: slot && { ...SLOT, ...slot } },
});

test('all is well: numbers of lag, RPO and slot; the time left by the rate since the latest commit', () => {
  const status = judgeStatus(FACTS);
  expect(status).toMatchObject({
    isProtected: true,
    findings: [],
    rpoMs: 10_000,
    lag: { bytes: 500_000n, ms: 10_000 },
    // 500 kB in 10 s: 1 GB lasts for 20 000 s.
    slot: { own: 500_000n, pinned: 600_000n, secondsLeft: 20_000 },
    newest: { id: 's1', ageMs: 7_200_000 },
    waiting: [],
  });
});

test.each<[string, Partial<StatusFacts>, string, string]>([
  ['nobody reads the slot', slotIs({ activePid: undefined }), 'status.capture', 'error'],
  ['the slot is gone', slotIs(undefined), 'status.slot', 'error'],
  [
    'the slot is lost',
    slotIs({ lost: true, walStatus: 'lost', activePid: undefined }),
    'status.slot',
    'error',
  ],
  ['too much WAL waits', slotIs({}, { position: asLsn(700_000_000n) }), 'status.slot', 'error'],
  ['a limit of ours is near', { slotLimit: 600_000n }, 'status.slot', 'warning'],
  [
    'an old transaction pins WAL',
    { ...slotIs({ walStatus: 'unreserved', restart: asLsn(0n), confirmed: asLsn(1_400_000n) }) },
    'status.slot',
    'warning',
  ],
  [
    'capture runs, and stores nothing',
    { stream: { tidemark: TIDEMARK, latestCommitTime: NOW - 301n * SECOND } },
    'status.capture',
    'error',
  ],
  [
    'the source can’t be reached',
    { source: new Failure('source.unreachable', 'refused') },
    'status.source',
    'warning',
  ],
  ['no source is configured', { source: undefined }, 'status.source', 'warning'],
  ['no snapshot', { snapshots: [], windowEnds: [] }, 'status.snapshot', 'error'],
  ['no snapshot leads to the tidemark', { windowEnds: [asLsn(5n)] }, 'status.window', 'error'],
  [
    'one that does is to come',
    { windowEnds: [], snapshots: [{ ...SNAPSHOT, waiting: true }] },
    'status.window',
    'warning',
  ],
  ['a forged snapshot', { refused: 1 }, 'status.snapshot', 'error'],
])('not protected: %s', (_, facts, check, level) => {
  const { isProtected, findings } = judgeStatus({ ...FACTS, ...facts });
  expect({ isProtected, findings }).toMatchObject({ isProtected: false, findings: [{ check, level }] });
  expect(findings).toHaveLength(1);
});

test('without the source: RPO by our own clock; lag and slot are not known, and not made up', () => {
  const source = new Failure('source.unreachable', 'refused', { remedy: 'look at the network' });
  const status = judgeStatus({ ...FACTS, now: NOW + 50n * SECOND, source });
  expect(status).toMatchObject({ rpoMs: 60_000, lag: undefined, slot: undefined });
  expect(status.findings[0]?.remedy).toBe('look at the network');
});

test('what is stored up to the end of the WAL has no lag, however long ago it was; clocks that differ give no less than 0', () => {
  const old = { tidemark: LOOK.position, latestCommitTime: NOW - 4000n * SECOND };
  const status = judgeStatus({ ...FACTS, stream: old, windowEnds: [old.tidemark] });
  expect(status).toMatchObject({ isProtected: true, lag: { bytes: 0n, ms: 0 }, rpoMs: 4_000_000 });
  const ahead = { tidemark: TIDEMARK, latestCommitTime: NOW + 5n * SECOND };
  expect(judgeStatus({ ...FACTS, stream: ahead }).rpoMs).toBe(0);
});

test('snapshots alone, never set up for capture: protected as far as it goes, and told so', () => {
  const status = judgeStatus({ ...FACTS, ...slotIs(undefined), stream: undefined, windowEnds: [] });
  expect(status).toMatchObject({ isProtected: true, findings: [{ check: 'status.capture', level: 'info' }] });
  const setUp = judgeStatus({
    ...FACTS,
    ...slotIs({ activePid: undefined }),
    stream: undefined,
    windowEnds: [],
  });
  expect(setUp.isProtected).toBe(false);
});
