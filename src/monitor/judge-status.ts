import { defaultSlotLimit, describeExcess, judgeSlot } from '../capture/governor.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import type { Finding } from '../model/finding.ts';
import type { Lsn } from '../model/lsn.ts';
import { formatDuration } from '../model/quantities.ts';
import type { SlotStand, SourceLook } from './look-at-source.ts';

/** What source and repository say just now; all that the judgement rests on. */
export interface StatusFacts {
  /** By our own clock: for snapshots, and for commits when the source can't be asked. */
  readonly now: CommitTime;
  /** Undefined: none is configured. */
  readonly source: SourceLook | Failure | undefined;
  /** The newest one. */
  readonly stream: { readonly tidemark: Lsn; readonly latestCommitTime: CommitTime | undefined } | undefined;
  /** Ends of the recovery windows in the newest stream. */
  readonly windowEnds: readonly Lsn[];
  /** Tables of which not all changes are stored, in words. */
  readonly limited: readonly string[];
  /** Complete and authentic, whole ones. */
  readonly snapshots: readonly { readonly id: string; readonly at: CommitTime; readonly waiting: boolean }[];
  /** That no trusted key vouches for. */
  readonly refused: number;
  /** Undefined: by the server's own limit. */
  readonly slotLimit: bigint | undefined;
  /** What is wrong with schedules and notices (judge-schedules.ts). */
  readonly schedules: readonly Finding[];
}

export interface Status {
  /** Nothing is wrong, as far as anybody can tell; what is not known does not count as right. */
  readonly isProtected: boolean;
  /** Milliseconds of commits that would be lost with the source; undefined: no commit was ever stored. */
  readonly rpoMs: number | undefined;
  /** Undefined without a source to compare with. `ms`: 0 when everything is stored. */
  readonly lag: { readonly bytes: bigint; readonly ms: number | undefined } | undefined;
  readonly slot: (SlotStand & SlotNumbers) | undefined;
  readonly newest: { readonly id: string; readonly ageMs: number } | undefined;
  readonly waiting: readonly string[];
  readonly findings: readonly Finding[];
}

interface SlotNumbers {
  /** WAL that we have not confirmed. */
  readonly own: bigint;
  /** WAL that the slot makes the server keep. */
  readonly pinned: bigint;
  /** Until the server gives the slot up, when WAL grows on as it did since the latest stored commit. */
  readonly secondsLeft: number | undefined;
}

/** A beat comes at least each minute and is stored within seconds: this is far beyond what a running capture shows. */
const STALE_MS = 300_000;

const START = { remedy: 'start `tidemark capture` again; it goes on where the stored stream ends' };
const ANEW = {
  remedy: 'start `tidemark capture`: it records the gap and makes the slot anew; then take a snapshot',
};

/** Is the source protected, and if not, what is wrong? Pure. */
export function judgeStatus(facts: StatusFacts): Status {
  const { stream } = facts;
  const look = lookOf(facts);
  const rpoMs = since(look?.at ?? facts.now, stream?.latestCommitTime);
  const bytes = look && stream && (look.position > stream.tidemark ? look.position - stream.tidemark : 0n);
  const lag = bytes === undefined ? undefined : { bytes, ms: bytes === 0n ? 0 : rpoMs };
  const slot = look?.slot && { ...look.slot, ...slotNumbers(look, look.slot, lag) };
  const [newest] = [...facts.snapshots].sort((a, b) => (a.at > b.at ? -1 : 1));
  const findings = [
    ...sourceFindings(facts),
    ...(look === undefined ? [] : slotFindings(look, facts)),
    ...staleFindings(look, lag),
    ...repositoryFindings(facts),
    ...facts.schedules,
  ];
  return {
    isProtected: findings.every(({ level }) => level === 'ok' || level === 'info'),
    rpoMs,
    lag,
    slot,
    newest: newest && { id: newest.id, ageMs: since(facts.now, newest.at) ?? 0 },
    waiting: facts.snapshots.filter(({ waiting }) => waiting).map(({ id }) => id),
    findings,
  };
}

function lookOf({ source }: StatusFacts): SourceLook | undefined {
  return source === undefined || source instanceof Failure ? undefined : source;
}

function sourceFindings({ source }: StatusFacts): Finding[] {
  if (source === undefined)
    return [
      warning('status.source', 'no source is configured: this is what the repository alone shows', {
        remedy: 'pass --url or set DATABASE_URL',
      }),
    ];
  if (!(source instanceof Failure)) return [];
  const { message, remedy } = source;
  return [
    warning(
      'status.source',
      `the source can’t be asked: this is what the repository alone shows (${message})`,
      { remedy },
    ),
  ];
}

function slotFindings(look: SourceLook, { stream, slotLimit }: StatusFacts): Finding[] {
  const { slot } = look;
  if (slot === undefined)
    return stream === undefined
      ? [
          {
            level: 'info',
            check: 'status.capture',
            message: 'changes are not captured: only snapshots can be restored',
            remedy: '`tidemark init --capture` sets the source up',
          },
        ]
      : [error('status.slot', 'the slot is gone: nothing keeps the changes since the tidemark', ANEW)];
  if (slot.lost)
    return [
      error('status.slot', `the server gave the slot up (${slot.lostWhy ?? 'its WAL was removed'})`, ANEW),
    ];
  const limit = slotLimit ?? defaultSlotLimit(look.keepMegabytes);
  const { level, why, own } = judgeSlot({ ...slot, at: 0, position: look.position }, [], limit);
  return [
    ...(slot.activePid === undefined
      ? [error('status.capture', 'capture is not running: nobody reads from the slot', START)]
      : []),
    ...(level === 'fine'
      ? []
      : [
          {
            level: own > limit ? ('error' as const) : ('warning' as const),
            check: 'status.slot',
            message: own > limit ? describeExcess(own, limit) : why,
          },
        ]),
  ];
}

function staleFindings(look: SourceLook | undefined, lag: Status['lag']): Finding[] {
  if (look?.slot?.activePid === undefined || lag?.ms === undefined || lag.ms < STALE_MS) return [];
  const message = `capture runs, but has stored nothing for ${formatDuration(lag.ms)}`;
  return [
    error('status.capture', message, { remedy: 'see what capture says: the repository may not take it' }),
  ];
}

function repositoryFindings({ stream, windowEnds, snapshots, refused, limited }: StatusFacts): Finding[] {
  const take = { remedy: 'run `tidemark snapshot`' };
  const found: Finding[] = limited.map((message) => ({
    level: 'info',
    check: 'status.tables',
    message: `${message}: a restore has them as the snapshot before has`,
    remedy: 'give it a primary key, or REPLICA IDENTITY FULL; else each snapshot brings it up to date',
  }));
  if (refused > 0)
    found.push(
      error('status.snapshot', `${refused} snapshot(s) are not authentic`, {
        remedy: '`tidemark list` names them',
      }),
    );
  if (snapshots.length === 0)
    found.push(error('status.snapshot', 'there is no whole snapshot: nothing can be restored', take));
  else if (stream !== undefined && !windowEnds.includes(stream.tidemark)) {
    const message = 'the newest changes can’t be restored yet: no snapshot leads up to the tidemark';
    const isComing = snapshots.some(({ waiting }) => waiting);
    found.push(
      isComing
        ? warning('status.window', `${message}; one waits for capture to pass it`, {})
        : error('status.window', message, take),
    );
  }
  return found;
}

/** WAL since the latest stored commit, over the time since then: a rate that needs no second look. */
function slotNumbers(look: SourceLook, slot: SlotStand, lag: Status['lag']): SlotNumbers {
  const own = look.position > slot.confirmed ? look.position - slot.confirmed : 0n;
  const pinned = look.position > slot.restart ? look.position - slot.restart : 0n;
  const { safeBytes } = slot;
  const isKnown = safeBytes !== undefined && lag?.ms !== undefined && lag.ms > 0 && lag.bytes > 0n;
  const secondsLeft = isKnown
    ? (Math.max(0, Number(safeBytes)) * (lag.ms / 1000)) / Number(lag.bytes)
    : undefined;
  return { own, pinned, secondsLeft };
}

/** Milliseconds, never negative: clocks differ. */
function since(now: CommitTime, then: CommitTime | undefined): number | undefined {
  return then === undefined ? undefined : Math.max(0, Number(now - then) / 1000);
}

function warning(check: string, message: string, { remedy }: Pick<Finding, 'remedy'>): Finding {
  return { level: 'warning', check, message, ...(remedy !== undefined && { remedy }) };
}

function error(check: string, message: string, { remedy }: Pick<Finding, 'remedy'>): Finding {
  return { level: 'error', check, message, ...(remedy !== undefined && { remedy }) };
}
