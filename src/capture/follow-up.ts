import type { GapDocument } from '../archive/stream-documents.ts';
import type { Manifest } from '../archive/manifest.ts';
import { lsnOf } from '../archive/run-document.ts';
import type { Usability } from '../catalog/usability.ts';
import type { RelationName } from '../model/identifiers.ts';
import { asLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import type { TableDefinition } from '../postgres/inventory.ts';

/** A snapshot that was begun: by a follow-up, a schedule or a person. Times are milliseconds of the epoch. */
export interface BegunSnapshot {
  readonly begunAt: number;
  /** Undefined: it did not end, or not yet. */
  readonly complete:
    | {
        /** All that the configuration wants. */
        readonly whole: boolean;
        /** All that is there: single tables of later snapshots go with it (`mayReplace`). */
        readonly base: boolean;
        readonly tables: readonly Pick<Manifest['tables'][number], 'oid' | 'data' | 'definition'>[];
        readonly use: Usability;
      }
    | undefined;
  /** When something was stored for it last. */
  readonly activeAt: number;
}

/** All that the decision rests on: what is stored, so that a restart changes nothing. */
export interface FollowUpFacts {
  readonly now: number;
  /** The newest one; undefined while there is none, or a gap has ended it. */
  readonly stream: { readonly id: string; readonly startedAt: number } | undefined;
  readonly gaps: readonly GapDocument[];
  /** How the source has made tables that have gaps by now, by oid; a table that is not known takes a whole snapshot. */
  readonly made: ReadonlyMap<number, TableDefinition>;
  readonly snapshots: readonly BegunSnapshot[];
}

export type FollowUp =
  | { readonly kind: 'none' }
  | { readonly kind: 'wait'; readonly until: number; readonly gaps: readonly string[] }
  /** Four a day did not do. */
  | { readonly kind: 'exhausted'; readonly until: number; readonly gaps: readonly string[] }
  /** `tables`: of these alone; absent: the whole. */
  | { readonly kind: 'take'; readonly gaps: readonly string[]; readonly tables?: readonly RelationName[] };

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MOST_A_DAY = 4;
/** A heartbeat comes within ten seconds of somebody's commit; a snapshot needs one from behind its gap. */
const SETTLE_MS = 15_000;
/** An unfinished snapshot for which something was stored so lately may still be running, in whatever process. */
const RUNNING_MS = 15 * 60_000;
const ANYWHERE = asLsn(0n);

/**
 * Whether a gap still wants a snapshot, of what, and whether it may be taken now (P4): one at a time, an hour apart,
 * four a day. A gap of the whole is followed by a whole snapshot that the newest stream can continue; a table's gap by one
 * that has its rows from behind it: of the table alone, while it is made as in a whole snapshot that they can go with. Pure.
 */
export function decideFollowUp(facts: FollowUpFacts): FollowUp {
  const { now, stream } = facts;
  if (stream === undefined) return { kind: 'none' };
  const ofTables = facts.gaps.filter(
    (gap) =>
      gap.stream === stream.id &&
      gap.tables?.some(({ oid }) => !facts.snapshots.some((one) => mends(one, { gap, oid, facts }))),
  );
  const ofAll = wantsWhole(facts, stream.id);
  const wanted = [...ofAll, ...ofTables];
  if (wanted.length === 0) return { kind: 'none' };
  const gaps = wanted.map(({ id }) => id);
  const settled = Math.max(stream.startedAt, ...wanted.map(noticed)) + SETTLE_MS;
  const limit = limitOf(facts);
  if (limit.exhaustedUntil > now) return { kind: 'exhausted', until: limit.exhaustedUntil, gaps };
  const until = Math.max(settled, limit.freeAt);
  if (until > now) return { kind: 'wait', until, gaps };
  const tables = ofAll.length > 0 ? undefined : enough(ofTables, facts);
  return { kind: 'take', gaps, ...(tables !== undefined && { tables }) };
}

/** Gaps of the whole that no whole snapshot has followed which the newest stream continues. */
function wantsWhole({ gaps, snapshots }: FollowUpFacts, stream: string): GapDocument[] {
  return gaps.filter((gap) => {
    if (gap.tables !== undefined) return false;
    const behind = gap.to?.stream === stream ? lsnOf(gap.to.lsn) : ANYWHERE;
    return !snapshots.some(
      ({ complete }) => complete?.whole === true && continues(complete.use, stream, behind),
    );
  });
}

/** The tables of gaps, where their own rows are enough; undefined: they are not. */
function enough(gaps: readonly GapDocument[], facts: FollowUpFacts): RelationName[] | undefined {
  const oids = [...new Set(gaps.flatMap(({ tables = [] }) => tables.map(({ oid }) => oid)))];
  const tables = oids.map((oid) => {
    const made = facts.made.get(oid);
    return made !== undefined && isMadeAlike(oid, made.definition, facts) ? made : undefined;
  });
  return tables.every((table) => table !== undefined)
    ? tables.map(({ schema, name }) => ({ schema, name }))
    : undefined;
}

/** Whether a whole snapshot that the newest stream continues has the table, made like this. */
function isMadeAlike(
  oid: number,
  definition: string | undefined,
  { snapshots, stream }: Pick<FollowUpFacts, 'snapshots' | 'stream'>,
): boolean {
  return snapshots.some(
    ({ complete }) =>
      complete?.base === true &&
      complete.use.kind === 'usable' &&
      complete.use.stream === stream?.id &&
      complete.tables.some(
        (table) =>
          table.oid === oid &&
          table.data === 'included' &&
          table.definition !== undefined &&
          table.definition === definition,
      ),
  );
}

/** Whether a snapshot brings back what a gap has taken from a table. */
function mends(
  { complete, begunAt }: BegunSnapshot,
  of: { readonly gap: GapDocument; readonly oid: number; readonly facts: FollowUpFacts },
): boolean {
  const { gap, oid, facts } = of;
  if (complete === undefined) return false;
  const table = complete.tables.find((one) => one.oid === oid);
  if (!complete.whole && (table?.data !== 'included' || !isMadeAlike(oid, table.definition, facts)))
    return false;
  const isLater = begunAt >= noticed(gap);
  // Dropped since, or never wanted: nothing brings it back.
  if (table === undefined || table.data === 'excluded') return isLater;
  const { stream } = gap;
  if (stream === undefined || gap.to?.stream !== stream) return isLater;
  return continues(complete.use, stream, lsnOf(gap.to.lsn));
}

/** One that waits for capture to pass it is given the time. */
function continues(use: Usability, stream: string, behind: Lsn): boolean {
  if (use.kind === 'own-instant' || use.stream !== stream) return false;
  return use.kind === 'waiting' ? use.for >= behind : use.scanFrom >= behind;
}

function limitOf(facts: FollowUpFacts): { readonly freeAt: number; readonly exhaustedUntil: number } {
  const { now, snapshots } = facts;
  const times = snapshots
    .filter((snapshot) => isFollowUp(snapshot, facts))
    .map(({ begunAt }) => begunAt)
    .sort((a, b) => b - a);
  const running = snapshots.filter(({ complete }) => complete === undefined);
  const freeAt = Math.max(
    times[0] === undefined ? 0 : times[0] + HOUR_MS,
    ...running.map(({ activeAt }) => activeAt + RUNNING_MS),
  );
  const fourth = times[MOST_A_DAY - 1];
  const exhaustedUntil = fourth === undefined || fourth + DAY_MS <= now ? 0 : fourth + DAY_MS;
  return { freeAt, exhaustedUntil };
}

/** Behind a gap, up to the ones that mend it: a schedule's hourly snapshots use up nothing more. */
function isFollowUp({ begunAt }: BegunSnapshot, facts: FollowUpFacts): boolean {
  const { gaps, snapshots } = facts;
  return gaps.some((gap) => {
    const since = noticed(gap);
    if (since > begunAt) return false;
    const earlier = snapshots.filter((other) => since <= other.begunAt && other.begunAt < begunAt);
    if (gap.tables !== undefined)
      return gap.tables.some(({ oid }) => !earlier.some((other) => mends(other, { gap, oid, facts })));
    return !earlier.some(({ complete }) => complete?.whole === true && complete.use.kind !== 'own-instant');
  });
}

function noticed({ noticedAt }: GapDocument): number {
  return Date.parse(noticedAt);
}
