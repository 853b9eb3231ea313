import type { Opener } from '../archive/age.ts';
import { lsnOf } from '../archive/run-document.ts';
import type { MarkDocument } from '../archive/stream-documents.ts';
import type { Repository } from '../catalog/repository.ts';
import type { SourceHistory } from '../catalog/source-history.ts';
import type { StreamView } from '../catalog/stream-view.ts';
import { readMarks } from '../catalog/streams.ts';
import { followedTo } from '../catalog/usability.ts';
import { findTransaction, meantXids } from '../history/find-transaction.ts';
import { formatCommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import type { Lsn } from '../model/lsn.ts';
import { locatePosition, locateTime } from './locate-target.ts';
import type { Located } from './locate-target.ts';
import type { StreamPlace } from './plan-point.ts';
import type { RecoveryTarget } from './target.ts';

export interface PlaceOptions {
  readonly opener: Opener | undefined;
  readonly signal: AbortSignal;
}

/** A target that has a place in change streams. */
export type PlacedTarget = Exclude<RecoveryTarget, { kind: 'snapshot' }>;

/**
 * Where a target lies in each stream, in the order in which they began (for `latest`: the newest first). A name or
 * number that can mean several points is `recovery.ambiguous`, with all of them.
 */
export async function placeTarget(
  history: SourceHistory,
  target: PlacedTarget,
  options: PlaceOptions & { readonly repositories: readonly Repository[] },
): Promise<StreamPlace[]> {
  const { streams } = history;
  switch (target.kind) {
    case 'latest':
      return streams.map((view) => placeOf(view, locateEnd(history, view))).reverse();
    case 'time':
      return Promise.all(
        streams.map(async (view) => placeOf(view, await locateTime(view, target.time, target.exclusive))),
      );
    case 'lsn': {
      const places = streams.map((view) => placeOf(view, locatePosition(view, target.lsn, target.exclusive)));
      const servers = new Set(
        places.filter(({ located }) => located.kind === 'found').map(({ server }) => server),
      );
      if (servers.size > 1)
        throw ambiguous('this position was reached more than once: on several servers or timelines', [
          ...servers,
        ]);
      return places;
    }
    case 'xid':
      return placeXid(history, target, options);
    case 'mark':
      return placeMark(history, target, options);
  }
}

function locateEnd(history: SourceHistory, view: StreamView): Located {
  const end = followedTo(view, history.gaps);
  return { kind: 'found', stop: { kind: 'latest' }, from: end, to: end };
}

async function placeXid(
  history: SourceHistory,
  { xid, exclusive }: Extract<RecoveryTarget, { kind: 'xid' }>,
  options: PlaceOptions,
): Promise<StreamPlace[]> {
  const found: { readonly view: StreamView; readonly xid: bigint; readonly commitLsn: Lsn }[] = [];
  for (const view of history.streams)
    for (const meant of await meantXids(view, xid)) {
      const transaction = await findTransaction(view, meant, options);
      if (transaction !== undefined) found.push({ view, xid: meant, commitLsn: transaction.commitLsn });
    }
  const points = new Set(found.map(({ view, xid, commitLsn }) => `${serverOf(view)} ${xid} ${commitLsn}`));
  if (points.size > 1)
    throw ambiguous(`xid ${xid} is that of several transactions`, [
      ...new Set(found.map((one) => `xid:${one.xid}`)),
    ]);
  return found.map(({ view, commitLsn }) => placeOf(view, locatePosition(view, commitLsn, exclusive)));
}

async function placeMark(
  history: SourceHistory,
  { name, exclusive }: Extract<RecoveryTarget, { kind: 'mark' }>,
  options: PlaceOptions & { readonly repositories: readonly Repository[] },
): Promise<StreamPlace[]> {
  const marks = new Map<string, MarkDocument>();
  for (const repository of options.repositories)
    for (const mark of await readMarks(repository, { source: history.source, signal: options.signal }))
      if (mark.name === name) marks.set(`${mark.commitLsn} ${mark.xid} ${mark.commitTime}`, mark);
  if (marks.size > 1)
    throw ambiguous(
      `there are ${marks.size} marks ${name}`,
      [...marks.values()].map(
        (mark) => `lsn:${mark.commitLsn} (${formatCommitTime(BigInt(mark.commitTime))})`,
      ),
    );
  const [mark] = marks.values();
  if (mark === undefined)
    throw new Failure('recovery.no_point', `there is no mark ${name}`, { facts: { mark: name } });
  return history.streams
    .filter((view) => view.id === mark.stream)
    .map((view) => placeOf(view, locatePosition(view, lsnOf(mark.commitLsn), exclusive)));
}

function placeOf(view: StreamView, located: Located): StreamPlace {
  const end = view.covered.at(-1)?.to ?? view.start;
  return { stream: view.id, server: serverOf(view), start: view.start, end, located };
}

function serverOf({ document }: StreamView): string {
  const { systemIdentifier, timeline, databaseOid } = document.server;
  return `${systemIdentifier}/${timeline}/${databaseOid}`;
}

function ambiguous(message: string, candidates: readonly string[]): Failure {
  return new Failure('recovery.ambiguous', message, {
    facts: { candidates },
    remedy: `name one of them: ${candidates.join(', ')}`,
  });
}
