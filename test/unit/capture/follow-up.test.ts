// P4: when a gap is followed by a snapshot, of what, and how often at most; judged from what is stored alone.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decideFollowUp } from '../../../src/capture/follow-up.ts';
import type { BegunSnapshot, FollowUpFacts } from '../../../src/capture/follow-up.ts';
import type { GapDocument } from '../../../src/archive/stream-documents.ts';
import { asLsn, formatLsn } from '../../../src/model/lsn.ts';

const NOON = Date.UTC(2026, 10, 23, 12);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const STREAM = { id: 'now', startedAt: NOON - 10 * HOUR };

function gap(at: number, more: Partial<GapDocument> = {}): GapDocument {
  return {
    formatVersion: 1,
    kind: 'tidemark-gap',
    id: `gap-${at}`,
    source: 'main',
    reason: 'slot-dropped',
    stream: 'before',
    from: { lsn: '0/100' },
    noticedAt: new Date(at).toISOString(),
    ...more,
  };
}

function tableGap(at: number, oid: number, to: bigint | undefined = 0x200n): GapDocument {
  return gap(at, {
    stream: STREAM.id,
    reason: 'table-rewritten',
    tables: [{ oid, schema: 'public', name: `t${oid}` }],
    ...(to !== undefined && { to: { lsn: formatLsn(asLsn(to)), stream: STREAM.id } }),
  });
}

function snapshot(
  begunAt: number,
  more: {
    readonly whole?: boolean;
    readonly oids?: readonly number[];
    readonly scanFrom?: bigint;
    readonly use?: 'usable' | 'waiting' | 'own-instant';
    /** How its tables are made. */
    readonly definition?: string;
  } = {},
): BegunSnapshot {
  const scanFrom = asLsn(more.scanFrom ?? 0x300n);
  const use = {
    usable: {
      kind: 'usable' as const,
      stream: STREAM.id,
      tie: { kind: 'position' as const, lsn: scanFrom },
      scanFrom,
      upper: scanFrom,
      until: scanFrom,
    },
    waiting: { kind: 'waiting' as const, stream: STREAM.id, for: scanFrom },
    'own-instant': { kind: 'own-instant' as const, reason: 'too early' },
  }[more.use ?? 'usable'];
  const tables = (more.oids ?? [1, 2]).map((oid) => ({
    oid,
    data: 'included' as const,
    definition: more.definition ?? 'a',
  }));
  const whole = more.whole ?? true;
  return { begunAt, activeAt: begunAt, complete: { whole, base: whole, tables, use } };
}

function unfinished(begunAt: number, activeAt = begunAt): BegunSnapshot {
  return { begunAt, activeAt, complete: undefined };
}

function madeOf(definition: string, ...oids: readonly number[]): FollowUpFacts['made'] {
  return new Map(oids.map((oid) => [oid, { schema: 'public', name: `t${oid}`, definition }]));
}

function decide(
  facts: Partial<FollowUpFacts> & Pick<FollowUpFacts, 'gaps'>,
): ReturnType<typeof decideFollowUp> {
  return decideFollowUp({ now: NOON, stream: STREAM, snapshots: [], made: new Map(), ...facts });
}

describe('what is wanted', () => {
  test('nothing without a gap, or before the stream goes on', () => {
    expect(decide({ gaps: [] })).toEqual({ kind: 'none' });
    expect(decide({ gaps: [gap(NOON - HOUR)], stream: undefined })).toEqual({ kind: 'none' });
  });

  test('a gap of the whole: the whole, until the newest stream continues a whole snapshot', () => {
    const gaps = [gap(NOON - HOUR)];
    expect(decide({ gaps })).toEqual({ kind: 'take', gaps: [gaps[0]?.id] });
    const taken = NOON - 30 * MINUTE;
    expect(decide({ gaps, snapshots: [snapshot(taken)] })).toEqual({ kind: 'none' });
    expect(decide({ gaps, snapshots: [snapshot(taken, { use: 'waiting' })] })).toEqual({ kind: 'none' });
    const tooEarly = snapshot(taken, { use: 'own-instant' });
    expect(decide({ gaps, snapshots: [tooEarly] })).toMatchObject({ kind: 'wait', until: taken + HOUR });
    const partial = snapshot(taken, { whole: false });
    expect(decide({ gaps, snapshots: [partial] })).toMatchObject({ kind: 'wait' });
  });

  test('a table’s gap: the whole, where no whole snapshot can go on without the table’s rows', () => {
    const gaps = [tableGap(NOON - 3 * HOUR, 7), tableGap(NOON - 3 * HOUR + 1, 7), tableGap(NOON - HOUR, 8)];
    expect(decide({ gaps })).toEqual({ kind: 'take', gaps: gaps.map(({ id }) => id) });
    const taken = NOON - 90 * MINUTE;
    expect(decide({ gaps, snapshots: [snapshot(taken, { oids: [7, 8] })] })).toEqual({ kind: 'none' });
    // Of these tables alone: nothing goes with it.
    const alone = snapshot(taken, { whole: false, oids: [7, 8] });
    expect(decide({ gaps, snapshots: [alone] })).toMatchObject({ kind: 'take' });
    const before = snapshot(taken, { oids: [7, 8], scanFrom: 0x1ffn });
    expect(decide({ gaps, snapshots: [before] })).toMatchObject({ kind: 'take' });
  });

  test('a table’s gap: the table alone, while it is made as in a whole snapshot', () => {
    const gaps = [tableGap(NOON - 3 * HOUR, 7)];
    const base = snapshot(NOON - 5 * HOUR, { oids: [6, 7], scanFrom: 0x80n });
    const tables = [{ schema: 'public', name: 't7' }];
    const asked = { gaps, snapshots: [base], made: madeOf('a', 7) };
    expect(decide(asked)).toMatchObject({ kind: 'take', tables });
    const whole = (facts: Partial<FollowUpFacts>): void => {
      const decision = decide({ ...asked, ...facts });
      expect(decision.kind).toBe('take');
      expect(decision).not.toHaveProperty('tables');
    };
    whole({ made: madeOf('b', 7) });
    whole({ made: new Map() });
    whole({ snapshots: [snapshot(NOON - 5 * HOUR, { oids: [7], scanFrom: 0x80n, use: 'own-instant' })] });
    whole({ snapshots: [snapshot(NOON - 5 * HOUR, { oids: [7], scanFrom: 0x80n, whole: false })] });
    whole({ gaps: [...gaps, tableGap(NOON - 3 * HOUR, 8)] });
    whole({ gaps: [...gaps, gap(NOON - 3 * HOUR, { to: { lsn: '0/200', stream: STREAM.id } })] });
    // It was made otherwise when it was taken.
    const alone = (definition: string): BegunSnapshot =>
      snapshot(NOON - 2 * HOUR, { whole: false, oids: [7], definition });
    expect(decide({ ...asked, snapshots: [base, alone('a')] })).toEqual({ kind: 'none' });
    whole({ snapshots: [base, alone('b')], made: madeOf('b', 7) });
  });

  test('a table that is gone, or of which nothing is stored, asks for one snapshot and no more', () => {
    const dropped = [tableGap(NOON - 3 * HOUR, 7)];
    expect(decide({ gaps: dropped, snapshots: [snapshot(NOON - 2 * HOUR, { oids: [1] })] }).kind).toBe(
      'none',
    );
    expect(decide({ gaps: dropped, snapshots: [snapshot(NOON - 4 * HOUR, { oids: [1] })] }).kind).toBe(
      'take',
    );
  });

  test('a gap without an end is followed once', () => {
    const gaps = [{ ...tableGap(NOON - 3 * HOUR, 7), to: undefined }];
    expect(decide({ gaps }).kind).toBe('take');
    expect(decide({ gaps, snapshots: [snapshot(NOON - 4 * HOUR, { oids: [7] })] }).kind).toBe('take');
    expect(decide({ gaps, snapshots: [snapshot(NOON - HOUR, { oids: [7] })] }).kind).toBe('none');
  });
});

describe('how often', () => {
  test('not before a heartbeat can stand behind the gap', () => {
    expect(decide({ gaps: [tableGap(NOON - 1000, 7)] })).toMatchObject({
      kind: 'wait',
      until: NOON + 14_000,
    });
  });

  test('not while another one may be running', () => {
    const gaps = [gap(NOON - 5 * MINUTE)];
    const running = unfinished(NOON - 2 * HOUR, NOON - MINUTE);
    expect(decide({ gaps, snapshots: [running] })).toMatchObject({ kind: 'wait', until: NOON + 14 * MINUTE });
  });

  test('four a day, then an alert until the first of them is a day old', () => {
    const gaps = [gap(NOON - 9 * HOUR)];
    const snapshots = [8, 6, 4, 2].map((hours) => unfinished(NOON - hours * HOUR));
    expect(decide({ gaps, snapshots })).toMatchObject({ kind: 'exhausted', until: NOON + 16 * HOUR });
    expect(decide({ gaps, snapshots: snapshots.slice(1) })).toMatchObject({ kind: 'take' });
  });

  test('what a schedule takes behind a gap that was followed counts for nothing', () => {
    const scheduled = [5, 4, 3, 2, 1].map((hours) => snapshot(NOON - hours * HOUR - MINUTE, { oids: [7] }));
    const old = tableGap(NOON - 6 * HOUR, 7);
    const gaps = [old, tableGap(NOON - MINUTE, 7, 0x900n)];
    expect(decide({ gaps, snapshots: scheduled })).toMatchObject({ kind: 'take' });
  });

  test('whatever happens, restarts included: never five in a day, never two within an hour', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            minutes: fc.integer({ min: 1, max: 300 }),
            what: fc.constantFrom('gap', 'table', 'look'),
            outcome: fc.constantFrom('fails', 'too early', 'good'),
          }),
          { minLength: 10, maxLength: 80 },
        ),
        (steps) => {
          const gaps: GapDocument[] = [];
          const snapshots: BegunSnapshot[] = [];
          const taken: number[] = [];
          let now = NOON;
          steps.forEach(({ minutes, what, outcome }, index) => {
            now += minutes * MINUTE;
            const to = 0x300n + BigInt(index);
            if (what === 'gap') gaps.push(gap(now, { id: `g${index}` }));
            if (what === 'table') gaps.push(tableGap(now, 7, to));
            const decision = decideFollowUp({ now, stream: STREAM, gaps, snapshots, made: madeOf('a', 7) });
            if (decision.kind !== 'take') return;
            taken.push(now);
            if (outcome === 'fails') snapshots.push(unfinished(now));
            else {
              const use = outcome === 'good' ? 'usable' : 'own-instant';
              snapshots.push(snapshot(now, { oids: [7], scanFrom: to, use }));
            }
          });
          taken.forEach((at, index) => {
            if (index > 0) expect(at - (taken[index - 1] ?? 0)).toBeGreaterThanOrEqual(HOUR);
            if (index > 3) expect(at - (taken[index - 4] ?? 0)).toBeGreaterThanOrEqual(24 * HOUR);
          });
        },
      ),
    );
  });
});
