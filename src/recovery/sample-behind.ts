import type { Opener } from '../archive/age.ts';
import { readChanges } from '../catalog/read-changes.ts';
import type { KnownSegment } from '../catalog/stream-runs.ts';
import type { StreamView } from '../catalog/stream-view.ts';
import type { Lsn } from '../model/lsn.ts';
import { decodeMessage } from '../pgoutput/decode.ts';
import { TransactionCursor } from '../replay/transaction-cursor.ts';
import { HEARTBEAT_PREFIX } from './sequence-samples.ts';
import type { SequenceSamples } from './sequence-samples.ts';

/** Sequences are told once a minute, and there is a heartbeat each five seconds. */
const MOST_HEARTBEATS = 40;

/**
 * Reads on behind a position until a heartbeat of later tells of sequences, a minute or so of the stream. Without such
 * a one nothing is learned: capture has not come so far.
 */
export async function sampleBehind(
  view: StreamView,
  position: Lsn,
  into: {
    readonly samples: SequenceSamples;
    readonly opener: Opener | undefined;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  let heartbeats = 0;
  for (const entry of view.pieces.flat()) {
    if (entry.to <= position) continue;
    for (const segment of await view.segmentsOf(entry)) {
      const later = segment.runs.flatMap((run) => run.heartbeats).filter((beat) => beat.position > position);
      if (later.length === 0) continue;
      await readSamples(view, segment, into);
      heartbeats += later.length;
      if ((into.samples.knownAt ?? 0n) > position || heartbeats > MOST_HEARTBEATS) return;
    }
  }
}

async function readSamples(
  view: StreamView,
  segment: KnownSegment,
  { samples, opener, signal }: Parameters<typeof sampleBehind>[2],
): Promise<void> {
  const at = { source: view.document.source, stream: view.id };
  const cursor = new TransactionCursor();
  const onRun = samples.run.bind(samples);
  for await (const records of readChanges(view.repository, at, {
    segments: [segment],
    opener,
    signal,
    onRun,
  }))
    for (const record of records) {
      if (cursor.feed(record) !== 'message') continue;
      const message = decodeMessage(record.message, 'storage');
      if (
        message.kind === 'message' &&
        message.prefix === HEARTBEAT_PREFIX &&
        cursor.transaction !== undefined
      )
        samples.message(message.content, cursor.transaction.xid);
    }
}
