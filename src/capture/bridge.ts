import type { GapDocument } from '../archive/stream-documents.ts';
import { Failure } from '../model/failure.ts';
import { connect } from '../postgres/connection.ts';
import type { Connection } from '../postgres/connection.ts';
import { readServerFacts } from '../postgres/inventory.ts';
import { dropSlot, readSlot } from '../postgres/slot.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { recordGap } from './current-stream.ts';
import type { CurrentStream } from './current-stream.ts';
import type { CaptureRequest } from './request.ts';
import { setUpSource } from './set-up/set-up-source.ts';

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

/** Takes the slot away from the source, which comes first (P7); the gap is declared before, if the store lets us. */
export async function relieveSource(
  request: CaptureRequest,
  end: { readonly why: string; readonly current: CurrentStream },
  options: CallOptions,
): Promise<void> {
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(RELIEF_MS)]);
  try {
    await declareGap(request, { ...end, reason: 'slot-dropped' }, { signal });
  } catch (error) {
    if (options.signal.aborted || !(error instanceof Failure)) throw error;
    request.onEvent({ kind: 'store-trouble', failure: error });
  }
  await dropOwnSlot(request, options.signal);
}

async function dropOwnSlot(request: CaptureRequest, signal: AbortSignal): Promise<void> {
  await using session = await openSession(request, signal);
  const { slot } = request.names;
  for (let tries = 1; (await readSlot(session, slot)) !== undefined; tries += 1) {
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
