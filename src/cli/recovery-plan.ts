import { describeLimited } from '../catalog/tables.ts';
import { formatCommitTime } from '../model/commit-time.ts';
import { displayRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import { formatLsn } from '../model/lsn.ts';
import { formatBytes, formatCount } from '../model/quantities.ts';
import type { RecoveryPlan } from '../recovery/plan-recovery.ts';

/** What a replay would read, and where it would stop; undefined when the snapshot is the point itself. */
export function replayDocument({ replay }: RecoveryPlan): Record<string, unknown> | undefined {
  if (replay === undefined) return undefined;
  const { stop, reading } = replay;
  return {
    stream: replay.stream,
    repository: replay.repository,
    scanFrom: formatLsn(replay.scanFrom),
    from: formatLsn(replay.from),
    to: formatLsn(replay.to),
    stop: {
      kind: stop.kind,
      ...(stop.kind === 'time' && { time: formatCommitTime(stop.time), exclusive: stop.exclusive }),
      ...(stop.kind === 'lsn' && { lsn: formatLsn(stop.lsn), exclusive: stop.exclusive }),
    },
    replaced: replay.replaced.map(({ snapshot, tables }) => ({
      snapshot: snapshot.manifest.id,
      repository: snapshot.repository,
      tables: namesOf(snapshot.manifest, tables),
    })),
    segments: reading.segments.length,
    bytes: reading.bytes,
    transactions: reading.transactions,
    uncountedSegments: reading.uncounted,
    ddl: reading.ddl,
    limited: replay.limited,
  };
}

function namesOf(
  { tables }: { readonly tables: readonly (RelationName & { readonly oid: number })[] },
  oids: readonly number[],
): string[] {
  return tables.filter(({ oid }) => oids.includes(oid)).map(displayRelation);
}

export function replayLines({ replay, snapshot }: RecoveryPlan): string[] {
  if (replay === undefined) return [`  the point is snapshot ${snapshot.id} as it is (${snapshot.instant})`];
  const { stop, reading } = replay;
  const words = {
    latest: 'at the tidemark',
    time:
      stop.kind === 'time'
        ? `before the first commit ${stop.exclusive ? 'at or ' : ''}after ${formatCommitTime(stop.time)}`
        : '',
    lsn: stop.kind === 'lsn' ? `${stop.exclusive ? 'before' : 'behind'} ${formatLsn(stop.lsn)}` : '',
  };
  const uncounted =
    reading.uncounted === 0 ? '' : `, and those of ${formatCount(reading.uncounted)} more segments`;
  return [
    ...replay.replaced.map(
      ({ snapshot: later, tables }) =>
        `  but rows of ${namesOf(later.manifest, tables).join(', ')} from snapshot ${later.manifest.id} in ${later.repository}: changes of them are missing before it`,
    ),
    `  then changes of stream ${replay.stream} in ${replay.repository}, from ${formatLsn(replay.scanFrom)}, ending ${words[stop.kind]}`,
    `  ${formatCount(reading.segments.length)} segments, ${formatBytes(reading.bytes)}: ${formatCount(reading.transactions)} transactions${uncounted}; DDL ${reading.ddl}`,
    ...describeLimited(replay.limited).map((line) => `  NOT WHOLE: ${line}`),
  ];
}
