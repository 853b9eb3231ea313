import type { GapDocument } from '../archive/stream-documents.ts';
import { readGaps } from '../catalog/streams.ts';
import { Failure } from '../model/failure.ts';
import { connect } from '../postgres/connection.ts';
import type { Connection } from '../postgres/connection.ts';
import { readServerFacts } from '../postgres/inventory.ts';
import { dropSlot, readSlot } from '../postgres/slot.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { isOurSlot } from './gates.ts';
import { LAST_REST_MS, restUntil } from './governor.ts';
import type { SlotLook } from './governor.ts';
import { recordGap } from './current-stream.ts';
import type { CurrentStream } from './current-stream.ts';
import type { CaptureRequest } from './request.ts';
import { setUpSource } from './set-up/set-up-source.ts';
import { judgeRow, readWatchRow } from './watch.ts';

interface CallOptions {
  readonly signal: AbortSignal;
}

/** How long a new slot may wait for other people's transactions, before this is tried again. */
const PATIENCE_MS = 60_000;
/** The source is relieved also when the store does not answer: the gap is recorded when the slot is found gone. */
const RELIEF_MS = 10_000;

/** Records that the stream has ended, and asks for a snapshot. */
export async function declareGap(
  request: CaptureRequest,
  gap: { readonly reason: GapDocument['reason']; readonly why: string; readonly current: CurrentStream },
  options: CallOptions,
): Promise<void> {
  await using session = await openSession(request, options.signal);
  const { clock } = await readServerFacts(session);
  const where = { repository: request.repository, source: request.source, slot: request.names.slot };
  const document = await recordGap(where, { ...gap, clock: new Date(clock) }, options);
  request.onEvent({ kind: 'gap', gap: document, why: gap.why });
  request.onEvent({ kind: 'snapshot-wanted', gap: document.id, reason: gap.reason });
}

/**
 * Puts slot and publications right after a gap, so that a stream may begin. The slot is made anew, unless it was only
 * read by somebody else: what it holds may be from before the publications were what they are. Fails with
 * `source.old_transaction` while somebody's transaction would hold the new one up, and as `setUpSource` does.
 */
export async function bridgeGap(
  request: CaptureRequest,
  gap: GapDocument,
  options: CallOptions,
): Promise<void> {
  const { settings, names } = request;
  if (gap.reason === 'foreign-consumer') return;
  await dropOwnSlot(request, options.signal);
  await failpoint('capture.slot-dropped');
  await setUpSource({
    settings,
    names,
    patienceMs: PATIENCE_MS,
    onNote: (why) => request.onEvent({ kind: 'waiting', why }),
    signal: options.signal,
  });
}

/**
 * Takes the slot away from the source, which comes first (P7); the gap is declared before, if the store lets us.
 * Whether it did.
 */
export async function relieveSource(
  request: CaptureRequest,
  end: { readonly why: string; readonly current: CurrentStream },
  options: CallOptions,
): Promise<boolean> {
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(RELIEF_MS)]);
  let isDeclared = true;
  try {
    await declareGap(request, { ...end, reason: 'slot-lag' }, { signal });
  } catch (error) {
    if (options.signal.aborted || !(error instanceof Failure)) throw error;
    isDeclared = false;
    request.onEvent({ kind: 'store-trouble', failure: error });
  }
  await dropOwnSlot(request, options.signal);
  return isDeclared;
}

/**
 * While no session comes about, because the store does not answer, nobody else looks after the slot: the source comes
 * first then, too. The gap is recorded once the slot is found gone.
 */
export async function guardSource(
  request: CaptureRequest,
  looks: { seen: readonly SlotLook[] },
  options: CallOptions,
): Promise<void> {
  const { names, onEvent } = request;
  await using session = await openSession(request, options.signal);
  const row = await readWatchRow(session, { slot: names.slot, walsender: null });
  if (!row.slotExists || row.activePid !== null) return;
  const { level, why } = judgeRow(row, performance.now(), { looks, slotLimit: request.slotLimit });
  if (level !== 'fine') onEvent({ kind: 'slot', level, why });
  if (level === 'relieve') await dropOwnSlot(request, options.signal);
}

/** Milliseconds until a slot may be made again, by how often the source was relieved of one lately. */
export async function restAfterRelief(request: CaptureRequest, options: CallOptions): Promise<number> {
  const { repository, source } = request;
  const gaps = await readGaps(repository, { source, ...options });
  const relieved = gaps.flatMap(({ reason, noticedAt }) =>
    reason === 'slot-lag' ? [Date.parse(noticedAt)] : [],
  );
  return relieved.length === 0 ? 0 : Math.min(restUntil(relieved) - Date.now(), LAST_REST_MS);
}

async function dropOwnSlot(request: CaptureRequest, signal: AbortSignal): Promise<void> {
  await using session = await openSession(request, signal);
  const { slot } = request.names;
  const { databaseName } = await readServerFacts(session);
  for (let tries = 1; ; tries += 1) {
    const found = await readSlot(session, slot);
    // Of somebody else under our name: the set-up refuses it, and says what to do.
    if (found === undefined || !isOurSlot(found, databaseName)) return;
    try {
      await dropSlot(session, slot);
    } catch (error) {
      // Our own walsender takes a moment to notice that we have left.
      const busy = error instanceof Failure && error.code === 'source.slot_in_use';
      if (!busy || tries > 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function openSession(request: CaptureRequest, signal: AbortSignal): Promise<Connection> {
  return connect(request.settings, { side: 'source', job: 'capture', signal });
}
