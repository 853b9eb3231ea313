import type { GapDocument } from '../archive/stream-documents.ts';
import type { StreamView } from '../catalog/stream-view.ts';
import { tableGaps } from '../catalog/window.ts';
import { readLog } from '../history/read-log.ts';
import { Failure } from '../model/failure.ts';
import type { PlaceOptions } from './place-target.ts';
import type { JudgedSnapshot, StreamPlace } from './plan-point.ts';

/** Whether it matters where in its run the stop of a time lies: a snapshot or a gap begins or ends within the run. */
export function needsExactStop(
  { stream, located }: StreamPlace,
  known: { readonly snapshots: readonly JudgedSnapshot[]; readonly gaps: readonly GapDocument[] },
): boolean {
  if (located.kind !== 'found' || located.from === located.to) return false;
  const { from, to } = located;
  return (
    known.snapshots.some(
      ({ use }) =>
        use.kind === 'usable' &&
        use.stream === stream &&
        ((from < use.upper && use.upper <= to) || (from <= use.until && use.until < to)),
    ) || tableGaps(known.gaps, stream).some((gap) => from <= gap.from && gap.from < to)
  );
}

/**
 * The stop of a time by the transactions of its run. Without the key to an encrypted stream it stays known to the run
 * only: what is planned then is right, too, but an older snapshot may be taken, or the time refused.
 */
export async function exactStop(
  view: StreamView,
  place: StreamPlace,
  options: PlaceOptions,
): Promise<StreamPlace> {
  const { located } = place;
  if (located.kind !== 'found' || located.stop.kind !== 'time') return place;
  const { time, exclusive } = located.stop;
  try {
    for await (const { commitTime, commitLsn } of readLog(view, {
      ...options,
      fromLsn: located.from,
      toLsn: located.to,
    }))
      if (exclusive ? commitTime >= time : commitTime > time)
        return { ...place, located: { ...located, from: commitLsn, to: commitLsn } };
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'key.missing') throw error;
  }
  return place;
}
