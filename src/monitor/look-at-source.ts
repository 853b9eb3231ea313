import type { SlotLook } from '../capture/governor.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import { parseLsn } from '../model/lsn.ts';
import { connect } from '../postgres/connection.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { answerInTime } from '../postgres/pulse.ts';
import { isSlotLost, readSlot } from '../postgres/slot.ts';
import { sqlFile } from '../postgres/sql-file.ts';

/** How the source stands right now, as far as change capture goes. */
export interface SourceLook {
  /** The server's clock. */
  readonly at: CommitTime;
  /** Where its WAL ends. */
  readonly position: SlotLook['position'];
  /** max_slot_wal_keep_size in MB; -1: no limit. */
  readonly keepMegabytes: bigint;
  /** Undefined: there is none. */
  readonly slot: SlotStand | undefined;
}

export interface SlotStand extends Omit<SlotLook, 'at' | 'position'> {
  /** Who streams from it; undefined: nobody. */
  readonly activePid: number | undefined;
  readonly lost: boolean;
  readonly lostWhy: string | undefined;
}

/** One session, two short queries, which any role may run. Fails as connections do. */
export async function lookAtSource(
  settings: ConnectionSettings,
  options: { readonly slot: string; readonly signal: AbortSignal },
): Promise<SourceLook> {
  await using session = await connect(settings, { side: 'source', job: 'status', signal: options.signal });
  const slot = await answerInTime(session, readSlot(session, options.slot));
  // After the slot, which therefore never stands beyond it.
  const [row] = await answerInTime(
    session,
    session.query<{ position: string; clock: string; keepMegabytes: string | null }>(
      sqlFile('introspect/capture-watch'),
      [options.slot, null],
    ),
  );
  const position = positionOf(row?.position);
  return {
    at: BigInt(row?.clock ?? 0),
    position,
    keepMegabytes: BigInt(row?.keepMegabytes ?? -1),
    slot: slot && {
      confirmed: parseLsn(slot.confirmedFlushLsn ?? '') ?? position,
      restart: parseLsn(slot.restartLsn ?? '') ?? position,
      walStatus: slot.walStatus,
      safeBytes: slot.safeWalSize === null ? undefined : BigInt(slot.safeWalSize),
      activePid: slot.activePid ?? undefined,
      lost: isSlotLost(slot),
      lostWhy: slot.invalidationReason ?? undefined,
    },
  };
}

function positionOf(text: string | undefined): SlotLook['position'] {
  const position = parseLsn(text ?? '');
  if (position === undefined) throw new Failure('source.error', 'the server answered no position');
  return position;
}
