import { expect, test } from 'vitest';
import type { StreamDocument } from '../../../src/archive/stream-documents.ts';
import { defaultSlotLimit, judgeSlot, remember, restUntil } from '../../../src/capture/governor.ts';
import type { SlotLook } from '../../../src/capture/governor.ts';
import { isSynchronous, judge } from '../../../src/capture/gates.ts';
import type { GateFacts } from '../../../src/capture/gates.ts';
import { asLsn } from '../../../src/model/lsn.ts';
import type { Slot } from '../../../src/postgres/slot.ts';

const SLOT: Slot = {
  name: 's',
  plugin: 'pgoutput',
  type: 'logical',
  database: 'app',
  temporary: false,
  activePid: null,
  activeApplication: null,
  activeUser: null,
  restartLsn: '0/100',
  confirmedFlushLsn: '0/200',
  walStatus: 'reserved',
  safeWalSize: null,
  invalidationReason: null,
  failover: false,
};
const FACTS: GateFacts = {
  system: { systemIdentifier: '7', timeline: 1, position: asLsn(0x300n), database: 'app' },
  systemIdentifier: '7',
  inRecovery: false,
  versionNumber: 170_004,
  databaseName: 'app',
  sourceId: 'id',
  synchronousNames: '',
  slot: SLOT,
  publications: [
    { name: 'rows', shape: 'a', filtered: false },
    { name: 'changes', shape: 'b', filtered: false },
  ],
};
const STREAM = {
  publications: [
    { name: 'rows', sha256: 'a' },
    { name: 'changes', sha256: 'b' },
  ],
  server: { version: 170_001, systemIdentifier: '7', timeline: 1, sourceId: 'id' },
} as unknown as StreamDocument;
const going = { stream: STREAM, tidemark: asLsn(0x200n) };

test('all in order: the stream goes on, at the tidemark, or behind what is confirmed', () => {
  expect(judge(FACTS, going)).toEqual({ kind: 'ok' });
  expect(judge(FACTS, { ...going, tidemark: asLsn(0x300n) })).toEqual({ kind: 'ok' });
  expect(judge(FACTS, undefined)).toEqual({ kind: 'ok' });
});

test.each<[string, Partial<GateFacts>, string]>([
  ['slot gone', { slot: undefined }, 'slot-dropped'],
  ['another plugin', { slot: { ...SLOT, plugin: 'test_decoding' } }, 'slot-dropped'],
  ['of another database', { slot: { ...SLOT, database: 'other' } }, 'slot-dropped'],
  ['slot lost', { slot: { ...SLOT, walStatus: 'lost' } }, 'slot-lost'],
  ['slot invalidated', { slot: { ...SLOT, invalidationReason: 'idle_timeout' } }, 'slot-lost'],
  ['slot without a position', { slot: { ...SLOT, confirmedFlushLsn: null } }, 'slot-lost'],
  ['confirmed beyond the tidemark', { slot: { ...SLOT, confirmedFlushLsn: '0/201' } }, 'foreign-consumer'],
  ['another timeline', { system: { ...FACTS.system, timeline: 2 } }, 'failover'],
  [
    'WAL ends before the tidemark',
    { system: { ...FACTS.system, position: asLsn(0x1ffn) } },
    'source-restored',
  ],
  ['another major', { versionNumber: 180_000 }, 'upgrade'],
  ['publication gone', { publications: FACTS.publications.slice(1) }, 'publication-changed'],
  [
    'publication changed',
    {
      publications: [
        { name: 'rows', shape: 'x', filtered: false },
        { name: 'changes', shape: 'b', filtered: false },
      ],
    },
    'publication-changed',
  ],
  [
    'a table that is published with a filter',
    {
      publications: [
        { name: 'rows', shape: 'a', filtered: false },
        { name: 'changes', shape: 'b', filtered: true },
      ],
    },
    'publication-changed',
  ],
  ['another source of the same cluster', { sourceId: 'other' }, 'another-source'],
  [
    'restored into another cluster',
    { systemIdentifier: '8', system: { ...FACTS.system, systemIdentifier: '8' } },
    'source-restored',
  ],
  [
    'upgraded into another cluster',
    { versionNumber: 180_000, systemIdentifier: '8', system: { ...FACTS.system, systemIdentifier: '8' } },
    'upgrade',
  ],
])('%s is a gap', (_, change, reason) => {
  expect(judge({ ...FACTS, ...change }, going)).toMatchObject({ kind: 'gap', reason });
});

test('only behind a foreign consumer the slot serves on', () => {
  const taken = { ...FACTS, slot: { ...SLOT, confirmedFlushLsn: '0/201' } };
  expect(judge(taken, going)).toMatchObject({ slotServes: true });
  expect(judge({ ...FACTS, slot: undefined }, going)).toMatchObject({ slotServes: false });
});

test.each<[string, Partial<GateFacts>, string]>([
  ['a standby', { inRecovery: true }, 'source.standby'],
  ['replication that leads elsewhere', { systemIdentifier: '8' }, 'source.pooler'],
  ['another database behind replication', { databaseName: 'other' }, 'source.pooler'],
  ['a synchronous standby to be', { synchronousNames: 'FIRST 1 (a, *)' }, 'source.synchronous'],
  ['another database, not set up', { sourceId: 'other', slot: undefined }, 'source.another'],
])('%s is refused', (_, change, code) => {
  expect(judge({ ...FACTS, ...change }, going)).toMatchObject({ kind: 'refuse', failure: { code } });
});

test('who streams is waited for; a source without a slot that serves is not set up', () => {
  const busy = { ...FACTS, slot: { ...SLOT, activePid: 5, walStatus: 'lost' as const } };
  expect(judge(busy, going)).toMatchObject({ kind: 'wait', pid: 5 });
  for (const slot of [undefined, { ...SLOT, walStatus: 'lost' as const }, { ...SLOT, temporary: true }])
    expect(judge({ ...FACTS, slot }, undefined)).toMatchObject({ failure: { code: 'source.not_set_up' } });
});

test.each([
  ['*', true],
  ['"Tidemark Capture"', true],
  ['ANY 2 (one, "tidemark capture")', true],
  ['"tidemark captures", tidemark, capture', false],
  ['', false],
])('synchronous_standby_names %s: %s', (names, expected) => {
  expect(isSynchronous(names, 'tidemark capture')).toBe(expected);
});

const LOOK: SlotLook = {
  at: 0,
  position: asLsn(10_000n),
  confirmed: asLsn(10_000n),
  restart: asLsn(10_000n),
  walStatus: 'reserved',
  safeBytes: undefined,
};

test('the slot goes only for what we have not confirmed, never for WAL that somebody else pins', () => {
  const pinned = { ...LOOK, restart: asLsn(1n) };
  expect(judgeSlot(pinned, [], 1000n)).toMatchObject({ level: 'pinned', own: 0n, pinned: 9999n });
  const behind = { ...LOOK, confirmed: asLsn(7999n), restart: asLsn(1n) };
  expect(judgeSlot(behind, [], 1000n)).toMatchObject({ level: 'relieve', own: 2001n });
  expect(judgeSlot({ ...LOOK, confirmed: asLsn(9400n) }, [], 1000n).level).toBe('warning');
  expect(judgeSlot({ ...LOOK, confirmed: asLsn(9600n) }, [], 1000n).level).toBe('fine');
});

/** What is said of the last of several looks, ten seconds apart, at which so much waited for us. */
function levels(...lags: readonly bigint[]): string {
  let looks: readonly SlotLook[] = [];
  let level = '';
  lags.forEach((lag, index) => {
    const now = { ...LOOK, at: index * 10_000, confirmed: asLsn(10_000n - lag) };
    ({ level } = judgeSlot(now, looks, 1000n));
    looks = remember(looks, now);
  });
  return level;
}

test('P7, I 51: above the limit the slot stays as long as capture catches up', () => {
  expect(levels(1900n)).toBe('warning');
  expect(levels(1900n, 1900n, 1900n, 1900n, 1900n, 1900n)).toBe('warning');
  expect(levels(1900n, 1900n, 1900n, 1900n, 1900n, 1900n, 1900n)).toBe('relieve');
  expect(levels(1900n, 1800n, 1700n, 1650n, 1600n, 1550n, 1500n, 1450n, 1400n)).toBe('warning');
  // It fell, and stands still since.
  expect(levels(1900n, 1400n, 1400n, 1400n, 1400n, 1400n, 1400n, 1400n, 1400n)).toBe('relieve');
  expect(levels(1100n, 1351n)).toBe('relieve');
  expect(levels(1900n, 1900n, 1900n, 900n, 1900n, 1900n, 1900n, 1900n)).toBe('warning');
});

test('the time that is left follows from how the kept WAL has grown, over half a minute at least', () => {
  const before = { ...LOOK, safeBytes: 5000n };
  const now = { ...LOOK, at: 40_000, position: asLsn(14_000n), confirmed: asLsn(14_000n), safeBytes: 2000n };
  expect(judgeSlot(now, [before], 10_000n)).toMatchObject({ secondsLeft: 20, level: 'pinned' });
  expect(judgeSlot({ ...now, safeBytes: -5n }, [before], 10_000n).secondsLeft).toBe(0);
  expect(judgeSlot({ ...now, restart: asLsn(14_000n) }, [before], 10_000n).secondsLeft).toBe(undefined);
  expect(judgeSlot({ ...now, at: 29_000 }, [before], 10_000n).secondsLeft).toBe(undefined);
});

test('after a relief a slot is made a minute later, then two, four, up to an hour', () => {
  const minute = 60_000;
  const times = [0, 1, 3, 7, 15, 31, 63, 123].map((at) => at * minute);
  const rests = times.map((at, index) => (restUntil(times.slice(0, index + 1)) - at) / minute);
  expect(rests).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
  expect(restUntil([0, 25 * 60 * minute])).toBe(25 * 60 * minute + minute);
});

test('the limit is half of what the server keeps, else 10 GB', () => {
  expect(defaultSlotLimit(4096n)).toBe(2n * 1024n ** 3n);
  expect(defaultSlotLimit(-1n)).toBe(10_000_000_000n);
});
