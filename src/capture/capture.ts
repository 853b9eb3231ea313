import { Failure, asFailure } from '../model/failure.ts';
import { formatDuration } from '../model/quantities.ts';
import { connect } from '../postgres/connection.ts';
import { LIFT_TIMEOUTS } from '../postgres/lift-timeouts.ts';
import { readSlot } from '../postgres/slot.ts';
import { bridgeGap, declareGap, guardSource, relieveSource, restAfterRelief } from './bridge.ts';
import { Heartbeat } from './heartbeat.ts';
import { Beats } from './own-messages.ts';
import type { CaptureRequest } from './request.ts';
import { runSession } from './session.ts';
import type { Lasting, SessionEnd } from './session.ts';

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;
const STANDBY_MS = 1000;
/** After the source was relieved, when the store took no gap by which to tell how often that was. */
const RELIEVED_MS = 60_000;

const IN_USE = '55006';

/** Nothing that a later attempt could find otherwise, or that should be tried again unseen. */
const FINAL = new Set([
  'source.protocol',
  'source.row_too_large',
  'source.synchronous',
  'source.pooler',
  'source.not_set_up',
  'source.another',
]);

/**
 * Captures until it is told to stop: one session after another, and between them whatever it takes that the next one
 * may begin. Fails only with what no waiting mends, or before anything was streamed.
 */
export async function runCapture(request: CaptureRequest): Promise<void> {
  const beats = new Beats();
  const bridged = new Set<string>();
  const tended = { what: undefined, at: -Infinity };
  const looks = { seen: [] };
  const lasting: Lasting = { looks, beats, heartbeat: new Heartbeat(beats), bridged, tended };
  const signal = request.stop;
  let hasStreamed = false;
  let wait = FIRST_RETRY_MS;
  while (!signal.aborted) {
    const end = await runSession(request, lasting);
    if (signal.aborted || end.kind === 'stopped') return;
    if (end.kind === 'failed' && end.streamed) {
      hasStreamed = true;
      wait = FIRST_RETRY_MS;
    }
    try {
      await follow(request, end, { bridged, looks: lasting.looks });
      wait = FIRST_RETRY_MS;
    } catch (error) {
      const failure = asFailure(error);
      if (signal.aborted) return;
      if (!mayPass(failure, hasStreamed || end.kind === 'unbridged' || end.kind === 'relieve')) throw failure;
      request.onEvent({ kind: 'lost', failure, retryMs: wait });
      await pause(wait, signal);
      wait = Math.min(2 * wait, LAST_RETRY_MS);
    }
  }
}

/** What has to be done before the next session. */
async function follow(
  request: CaptureRequest,
  end: SessionEnd,
  { bridged, looks }: Pick<Lasting, 'looks'> & { readonly bridged: Set<string> },
): Promise<void> {
  const options = { signal: request.stop };
  switch (end.kind) {
    case 'stopped':
      return;
    case 'failed':
      if (end.failure.code.startsWith('repository.'))
        await guardSource(request, looks, options).catch(() => undefined);
      throw end.failure;
    case 'relieve':
      looks.seen = [];
      if (!(await relieveSource(request, end, options))) await pause(RELIEVED_MS, request.stop);
      return;
    case 'unbridged':
      await rest(request, await restAfterRelief(request, options));
      await bridgeGap(request, end.gap, options);
      bridged.add(end.gap.id);
      return;
    case 'closed':
      return pass(request, end, options);
  }
}

/** No loop of slots that are made and dropped again. */
async function rest({ onEvent, stop }: CaptureRequest, milliseconds: number): Promise<void> {
  if (milliseconds <= 0) return;
  const what = 'the source was relieved of the slot because capture did not keep up';
  onEvent({ kind: 'waiting', why: `${what}: a new one is made in ${formatDuration(milliseconds)}` });
  await pause(milliseconds, stop);
  if (stop.aborted) throw new Failure('interrupted', 'stopped');
}

async function pass(
  request: CaptureRequest,
  end: Extract<SessionEnd, { kind: 'closed' }>,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const { verdict, current } = end;
  switch (verdict.kind) {
    case 'refuse':
      throw verdict.failure;
    case 'wait':
      return standBy(request, verdict.pid);
    case 'gap':
      if (current === undefined) throw new TypeError('a gap of no stream');
      return declareGap(request, { ...verdict, current }, options);
  }
}

/** Until nobody streams from the slot: another capture of ours, or a walsender whose client is gone. */
async function standBy(request: CaptureRequest, pid: number): Promise<void> {
  const { settings, names, stop, onEvent } = request;
  onEvent({ kind: 'standby', pid });
  await using session = await connect(settings, { side: 'source', job: 'capture standby', signal: stop });
  await session.query(LIFT_TIMEOUTS);
  while (!stop.aborted) {
    const slot = await readSlot(session, names.slot);
    if (slot === undefined || slot.activePid === null) return;
    await pause(STANDBY_MS, stop);
  }
}

function mayPass(failure: Failure, hasStreamed: boolean): boolean {
  if (FINAL.has(failure.code)) return false;
  // Another one was quicker: it is waited for.
  if (failure.facts['sqlstate'] === IN_USE) return true;
  if (failure.code === 'stream.other_writer' || failure.code === 'source.changed') return true;
  return hasStreamed && /^(?:source|repository)\./.test(failure.code);
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done);
  });
}
