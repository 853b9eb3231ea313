import { isSnapshotId } from '../catalog/ids.ts';
import { formatCommitTime, parseCommitTime } from '../model/commit-time.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import { formatLsn, parseLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { instantsOf } from '../model/zoned-time.ts';

/**
 * A recovery target as the user wrote it; `exclusive` as recovery_target_inclusive = off: without what committed at
 * just this point.
 */
export type RecoveryTarget =
  | { readonly kind: 'latest' }
  | { readonly kind: 'snapshot'; readonly id: string }
  /** Before the first commit later than it; exclusive: at or later. */
  | { readonly kind: 'time'; readonly time: CommitTime; readonly exclusive: boolean }
  /** With the last commit record that starts at or before it; exclusive: before. */
  | { readonly kind: 'lsn'; readonly lsn: Lsn; readonly exclusive: boolean }
  /** With this transaction; exclusive: up to it. 64 bits, or 32 where that is clear. */
  | { readonly kind: 'xid'; readonly xid: bigint; readonly exclusive: boolean }
  | { readonly kind: 'mark'; readonly name: string; readonly exclusive: boolean };

export interface TargetOptions {
  /** IANA name, for times without a zone of their own; without it those are refused. */
  readonly timeZone?: string | undefined;
  readonly exclusive?: boolean | undefined;
}

const HELP =
  'write latest, a time with its zone like 2026-11-23T10:01:59Z, lsn:16/B374D848, xid:12345, mark:NAME or snapshot:ID';

/** Reads a target. Fails with `usage.invalid`, also for a local time that was shown twice or never. */
export function parseRecoveryTarget(text: string, options: TargetOptions = {}): RecoveryTarget {
  const exclusive = options.exclusive === true;
  const target = parsed(text, { ...options, exclusive });
  if (target === undefined) throw invalid(`not a recovery target: ${text}`, HELP);
  if (exclusive && (target.kind === 'latest' || target.kind === 'snapshot'))
    throw invalid(`${text} has nothing to leave out`, 'use --exclusive with a time, lsn:, xid: or mark:');
  return target;
}

/** For people and reports: what `parseRecoveryTarget` reads again. */
export function formatRecoveryTarget(target: RecoveryTarget): string {
  switch (target.kind) {
    case 'latest':
      return 'latest';
    case 'snapshot':
      return `snapshot:${target.id}`;
    case 'time':
      return formatCommitTime(target.time);
    case 'lsn':
      return `lsn:${formatLsn(target.lsn)}`;
    case 'xid':
      return `xid:${target.xid}`;
    case 'mark':
      return `mark:${target.name}`;
  }
}

function parsed(
  text: string,
  options: { readonly timeZone?: string | undefined; readonly exclusive: boolean },
): RecoveryTarget | undefined {
  const { exclusive } = options;
  if (text === 'latest') return { kind: 'latest' };
  if (isSnapshotId(text)) return { kind: 'snapshot', id: text };
  const [, kind, value] = /^(snapshot|lsn|xid|mark):(.+)$/s.exec(text) ?? [];
  if (value === undefined) return parseTime(text, options);
  switch (kind) {
    case 'snapshot':
      return { kind, id: value };
    case 'mark':
      return { kind, name: value, exclusive };
    case 'xid': {
      const xid = /^\d{1,20}$/.test(value) ? BigInt(value) : 0n;
      // 0 to 2 are no transactions of anyone (FirstNormalTransactionId).
      return xid < 3n || xid >> 64n !== 0n ? undefined : { kind, xid, exclusive };
    }
    case 'lsn': {
      const lsn = parseLsn(value);
      return lsn === undefined ? undefined : { kind, lsn, exclusive };
    }
    case undefined:
    default:
      return undefined;
  }
}

function parseTime(
  text: string,
  { timeZone, exclusive }: { readonly timeZone?: string | undefined; readonly exclusive: boolean },
): RecoveryTarget | undefined {
  const exact = parseCommitTime(text);
  if (exact !== undefined) return { kind: 'time', time: exact, exclusive };
  const instants = localInstants(text, timeZone ?? 'UTC');
  if (instants === undefined) return undefined;
  if (timeZone === undefined)
    throw invalid(
      `${text} has no time zone`,
      'write it like 2026-11-23T10:01:59Z or …+01:00, or pass --timezone Europe/Berlin',
    );
  const [time, other] = instants;
  if (time === undefined)
    throw invalid(
      `${text} never was in ${timeZone}: the clock was put forward over it`,
      'write the time with its offset from UTC',
    );
  if (other !== undefined)
    throw invalid(
      `${text} was twice in ${timeZone}: the clock was put back`,
      `write ${formatCommitTime(time)} or ${formatCommitTime(other)}`,
    );
  return { kind: 'time', time, exclusive };
}

function localInstants(text: string, timeZone: string): CommitTime[] | undefined {
  try {
    return instantsOf(text, timeZone);
  } catch (cause) {
    throw new Failure('usage.invalid', `not a time zone: ${timeZone}`, {
      remedy: 'write an IANA name like Europe/Berlin',
      cause,
    });
  }
}

function invalid(message: string, remedy: string): Failure {
  return new Failure('usage.invalid', message, { remedy });
}
