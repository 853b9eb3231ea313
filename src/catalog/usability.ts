import { lsnOf } from '../archive/run-document.ts';
import type { Manifest } from '../archive/manifest.ts';
import type { GapDocument, StreamDocument } from '../archive/stream-documents.ts';
import type { Stretch } from '../archive/stream-names.ts';
import { formatLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { parseSnapshot } from '../model/xid.ts';
import type { ReplayTie } from '../model/xid.ts';

/** What is known of the stream that a snapshot is tied to. */
export interface StreamFacts {
  readonly id: string;
  readonly document: Pick<StreamDocument, 'server' | 'startedAt'>;
  readonly start: Lsn;
  /** Stretches that are stored without a hole, in order. */
  readonly covered: readonly Stretch[];
  /** A newer stream has taken over: this one grows no more. */
  readonly ended: boolean;
}

/** Whether changes can be applied onto a snapshot. Computed, never stored: streams grow and gaps are found. */
export type Usability =
  | {
      readonly kind: 'usable';
      readonly stream: string;
      readonly tie: ReplayTie;
      /** Where replay begins to read: nothing that was committed before is missing from the snapshot. */
      readonly scanFrom: Lsn;
      /** The earliest position that it can be brought to: before, it may hold what was not yet committed. */
      readonly upper: Lsn;
      /** The last position that it can be brought to. */
      readonly until: Lsn;
    }
  | { readonly kind: 'waiting'; readonly stream: string; readonly for: Lsn }
  | { readonly kind: 'own-instant'; readonly reason: string };

/** A gap of the whole source in one stream: from its last good position on, to where it is covered again. */
interface Break {
  readonly from: Lsn;
  /** Undefined: not on this stream any more. */
  readonly to: Lsn | undefined;
}

/**
 * The rules of REPLICATION C3. `heartbeatAt` is the position of the newest heartbeat whose xid is below the
 * snapshot's xmin, needed unless the tie has it; undefined when the stream has none.
 */
export function judgeSnapshot(
  snapshot: Pick<Manifest, 'tie' | 'server'>,
  known: {
    readonly stream: StreamFacts | undefined;
    readonly gaps: readonly GapDocument[];
    readonly heartbeatAt: Lsn | undefined;
  },
): Usability {
  const { tie } = snapshot;
  const { stream } = known;
  if (tie.kind === 'none') return ownInstant('no change stream was there when it was taken');
  if (stream?.id !== tie.stream) return ownInstant(`its change stream ${tie.stream} is not there`);
  if (tie.kind === 'xid' && !isSameServer(snapshot.server, stream.document.server))
    return ownInstant('its change stream is of another server');
  const breaks = breaksOf(known.gaps, stream.id);
  const bounds = boundsOf(tie, known.heartbeatAt);
  const upper = tie.kind === 'position' ? lsnOf(tie.lsn) : lsnOf(tie.upper);
  const piece = stream.covered.find(({ from, to }) => from <= upper && upper <= to);
  if (piece === undefined) {
    const end = stream.covered.at(-1)?.to ?? stream.start;
    if (upper < end) return ownInstant(`changes around ${formatLsn(upper)} are not stored`);
    const isOver = stream.ended || breaks.some(({ to }) => to === undefined);
    return isOver
      ? ownInstant(`its change stream ends at ${formatLsn(end)}, before it`)
      : { kind: 'waiting', stream: stream.id, for: upper };
  }
  if (bounds === undefined) return ownInstant('no heartbeat is older than its oldest transaction');
  const { scanFrom, replay } = bounds;
  if (scanFrom < stream.start) return ownInstant('a transaction in it is older than its change stream');
  if (scanFrom < piece.from)
    return ownInstant(`changes from ${formatLsn(scanFrom)} on are not stored without a hole`);
  if (breaks.some(({ from, to }) => from < upper && (to === undefined || to > scanFrom)))
    return ownInstant('a gap of its change stream lies around it');
  const until = breaks.flatMap(({ from }) => (from >= upper ? [from] : [])).reduce(lesser, piece.to);
  return { kind: 'usable', stream: stream.id, tie: replay, scanFrom, upper, until };
}

/** Gaps of the whole source in a stream. One without an end on the stream itself ends the stream. */
function breaksOf(gaps: readonly GapDocument[], stream: string): Break[] {
  return gaps
    .filter((gap) => gap.stream === stream && gap.tables === undefined)
    .map(({ from, to }) => ({
      from: lsnOf(from.lsn),
      to: to?.stream === stream ? lsnOf(to.lsn) : undefined,
    }));
}

/** How far a stream can be followed: to its end, or to a gap of the whole source that does not end on it. */
export function followedTo(
  stream: Pick<StreamFacts, 'id' | 'start' | 'covered'>,
  gaps: readonly GapDocument[],
): Lsn {
  return breaksOf(gaps, stream.id)
    .flatMap(({ from, to }) => (to === undefined ? [from] : []))
    .reduce(lesser, stream.covered.at(-1)?.to ?? stream.start);
}

function boundsOf(
  tie: Exclude<Manifest['tie'], { kind: 'none' }>,
  heartbeatAt: Lsn | undefined,
): { readonly scanFrom: Lsn; readonly replay: ReplayTie } | undefined {
  if (tie.kind === 'position') {
    const lsn = lsnOf(tie.lsn);
    return { scanFrom: lsn, replay: { kind: 'position', lsn } };
  }
  const snapshot = parseSnapshot(tie.snapshot);
  const scanFrom = tie.scanFrom === undefined ? heartbeatAt : lsnOf(tie.scanFrom);
  const upper = lsnOf(tie.upper);
  if (snapshot === undefined || scanFrom === undefined || scanFrom > upper) return undefined;
  return { scanFrom, replay: { kind: 'xid', snapshot, upper, scanFrom } };
}

function isSameServer(one: Manifest['server'], other: StreamDocument['server']): boolean {
  return one.systemIdentifier === other.systemIdentifier && one.databaseOid === other.databaseOid;
}

function ownInstant(reason: string): Usability {
  return { kind: 'own-instant', reason };
}

function lesser(a: Lsn, b: Lsn): Lsn {
  return a < b ? a : b;
}
