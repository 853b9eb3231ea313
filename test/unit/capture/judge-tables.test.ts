import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judgeTables } from '../../../src/capture/judge-tables.ts';
import type { KnownTables, TableLook } from '../../../src/capture/judge-tables.ts';
import { asLsn } from '../../../src/model/lsn.ts';
import type { CaptureTable } from '../../../src/postgres/capture-probe.ts';

const T: CaptureTable = {
  oid: '16384',
  schema: 'public',
  name: 't',
  kind: 'r',
  persistence: 'p',
  isPartition: false,
  owner: 'app',
  owned: true,
  identityProblem: null,
  inRows: true,
  inChanges: true,
  rowsFiltered: false,
  changesFiltered: false,
  members: '1/2',
  columns: 'c',
  storage: 's',
  bornWithKey: true,
};
const KEYLESS: Partial<CaptureTable> = { identityProblem: 'no_key', inChanges: false, members: '1/' };
const ABSENT = undefined;

type Seen = Partial<CaptureTable> | typeof ABSENT;

function look(seen: Seen, at: bigint, triggers = 'all three'): TableLook {
  const tables = seen === undefined ? [] : [{ ...T, ...seen }];
  return { position: asLsn(at), allTables: false, triggers, objects: 'o', tables };
}

function after(seen: Seen, at: bigint, triggers?: string, before?: KnownTables): KnownTables {
  const first = look(seen, at, triggers);
  return { ...first, tables: judgeTables(before, first).tables, holdsUntil: asLsn(at - 10n) };
}

/** What a second look says of the only table; the first stood at 100 and holds until 90, the second stands at 200. */
function judge(one: Seen, other: Seen, triggers: readonly [string, string] = ['all three', 'all three']) {
  const { gaps, limited } = judgeTables(after(one, 100n, triggers[0]), look(other, 200n, triggers[1]));
  return {
    gaps: gaps.map(({ reason, from, to }) => `${reason} ${from}-${to}`),
    limited: limited.map(({ stored, since, reason }) => `${stored} ${since} ${reason}`),
  };
}

const NOTHING = { gaps: [], limited: [] };
const NO_TRIGGERS = ['', ''] as const;

describe('P4, I 22, I 23: what two looks say', () => {
  test.for<[string, Seen, Seen, readonly [string, string], { gaps: string[]; limited: string[] }]>([
    ['nothing has changed', {}, {}, NO_TRIGGERS, NOTHING],
    ['renamed', {}, { name: 'u' }, NO_TRIGGERS, NOTHING],
    ['dropped', {}, ABSENT, NO_TRIGGERS, NOTHING],
    ['truncated', {}, { storage: 's2' }, NO_TRIGGERS, NOTHING],
    ['a column added without a rewrite', {}, { columns: 'c2' }, NO_TRIGGERS, NOTHING],
    [
      'rewritten',
      {},
      { columns: 'c2', storage: 's2' },
      NO_TRIGGERS,
      { gaps: ['table-rewritten 90-200'], limited: [] },
    ],
    [
      'rewritten, told by a trigger',
      {},
      { columns: 'c2', storage: 's2' },
      ['all three', 'all three'],
      NOTHING,
    ],
    [
      'rewritten, when the triggers were made anew',
      {},
      { columns: 'c2', storage: 's2' },
      ['all three', 'others'],
      { gaps: ['table-rewritten 90-200'], limited: [] },
    ],
    [
      'made with its key, told by triggers, and named one by one: what made it may have filled it (I 24)',
      ABSENT,
      {},
      ['all three', 'all three'],
      { gaps: ['table-added 90-200'], limited: [] },
    ],
    [
      'made, its key later',
      ABSENT,
      { bornWithKey: false },
      ['all three', 'all three'],
      { gaps: ['table-added 90-200'], limited: [] },
    ],
    ['made, without triggers', ABSENT, {}, NO_TRIGGERS, { gaps: ['table-added 90-200'], limited: [] }],
    [
      'made without a key',
      ABSENT,
      KEYLESS,
      ['all three', 'all three'],
      { gaps: ['table-added 90-200'], limited: ['inserts 0/5A no-identity'] },
    ],
    [
      'made by somebody whose tables we may not publish',
      ABSENT,
      { inRows: false, inChanges: false, members: '/' },
      NO_TRIGGERS,
      { gaps: [], limited: ['nothing 0/5A not-published'] },
    ],
    ['lost its key', {}, KEYLESS, NO_TRIGGERS, { gaps: [], limited: ['inserts 0/5A no-identity'] }],
    [
      'lost its key, still published: its updates fail',
      {},
      { identityProblem: 'no_key' },
      NO_TRIGGERS,
      { gaps: [], limited: ['inserts 0/5A no-identity'] },
    ],
    ['got a key', KEYLESS, {}, NO_TRIGGERS, { gaps: ['no-identity 100-200'], limited: [] }],
    [
      'taken out of the publication of updates',
      {},
      { inChanges: false, members: '1/' },
      NO_TRIGGERS,
      { gaps: [], limited: ['inserts 0/5A not-published'] },
    ],
    [
      'taken out of that of rows',
      {},
      { inRows: false, members: '/2' },
      NO_TRIGGERS,
      { gaps: [], limited: ['nothing 0/5A not-published'] },
    ],
    [
      'a row filter or column list',
      {},
      { changesFiltered: true, members: '1/3' },
      NO_TRIGGERS,
      { gaps: [], limited: ['inserts 0/5A not-published'] },
    ],
    [
      'taken out and added again',
      {},
      { members: '1/3' },
      NO_TRIGGERS,
      { gaps: ['publication-changed 90-200'], limited: [] },
    ],
    [
      'made UNLOGGED',
      {},
      { persistence: 'u', inRows: false, inChanges: false, members: '/' },
      NO_TRIGGERS,
      { gaps: [], limited: ['nothing 0/5A unlogged'] },
    ],
    ['made LOGGED', { persistence: 'u' }, {}, NO_TRIGGERS, { gaps: ['table-added 100-200'], limited: [] }],
    ['a foreign table, or a partitioned one', ABSENT, { kind: 'p' }, NO_TRIGGERS, NOTHING],
  ])('%s', ([, one, other, triggers, expected]) => {
    expect(judge(one, other, triggers)).toEqual(expected);
  });

  test('where all tables are published, one that is made with its key lacks nothing, nor one without a key its inserts', () => {
    const made = (seen: Seen): ReturnType<typeof judgeTables> =>
      judgeTables(after(ABSENT, 100n), { ...look(seen, 200n), allTables: true });
    expect(made({}).gaps).toEqual([]);
    expect(made(KEYLESS)).toMatchObject({ gaps: [], limited: [{ stored: 'inserts' }] });
    expect(made({ bornWithKey: false }).gaps).toMatchObject([{ reason: 'table-added' }]);
  });

  test('without a look before nothing is judged: no snapshot counts that is older than the first', () => {
    const { gaps, limited, tables } = judgeTables(undefined, look(KEYLESS, 100n));
    expect({ gaps, limited }).toEqual(NOTHING);
    expect(tables).toMatchObject([{ stored: 'inserts', since: '0/64' }]);
  });
});

test('property: whatever was not stored since some look is in a gap, or still told, at any later look', () => {
  const seen = fc.constantFrom<Seen>(
    ABSENT,
    {},
    KEYLESS,
    { inChanges: false, members: '1/' },
    { persistence: 'u' },
  );
  fc.assert(
    fc.property(fc.array(seen, { minLength: 2, maxLength: 12 }), (looks) => {
      let known: KnownTables | undefined;
      let missingSince: bigint | undefined;
      looks.forEach((one, index) => {
        const at = BigInt(index + 1) * 100n;
        const found = judgeTables(known, look(one, at, ''));
        const [table] = found.tables;
        if (table === undefined) missingSince = undefined;
        else if (table.stored !== 'all') {
          missingSince ??= known?.holdsUntil ?? at;
          expect(table.since).toBe(`0/${missingSince.toString(16).toUpperCase()}`);
        } else {
          if (missingSince !== undefined) expect(found.gaps).toMatchObject([{ from: missingSince, to: at }]);
          missingSince = undefined;
        }
        known = { ...look(one, at, ''), tables: found.tables, holdsUntil: asLsn(at - 10n) };
      });
    }),
  );
});
