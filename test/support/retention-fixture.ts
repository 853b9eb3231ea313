import type { Repository } from '../../src/catalog/repository.ts';
import type { Manifest } from '../../src/archive/manifest.ts';
import { parseCommitTime } from '../../src/model/commit-time.ts';
import { asLsn, formatLsn } from '../../src/model/lsn.ts';
import { keys } from '../../src/catalog/keys.ts';
import { sha256Hex } from '../../src/archive/digest.ts';
import { StreamBuilder, manifestOf, storeManifest } from './stream-fixture.ts';

const signal = new AbortController().signal;

/** The stream of a source on which one thing happens each hour: position 1000 · h is hour h of November 2024. */
export const STREAM = '20241101T000000Z-aaaaaa';

export const hourPosition = (hour: number): bigint => BigInt(1000 + hour * 1000);

export function hourTime(hour: number): string {
  return new Date(Date.UTC(2024, 10, 1, hour)).toISOString();
}

/** Segments of an hour each from hour 0 on, every four of them told of by a chapter; the rest by none. */
export async function hourlyStream(
  repository: Repository,
  hours: number,
  id = STREAM,
): Promise<StreamBuilder> {
  const stream = await StreamBuilder.begin(repository, {
    id,
    start: hourPosition(0),
    document: { startedAt: hourTime(0) },
  });
  for (let hour = 0; hour < hours; hour += 1) {
    const heartbeats = [{ position: hourPosition(hour), xid: BigInt(100 + hour * 10) }];
    // The first half of an hour ends with its only commit.
    await stream.segment(
      { to: hourPosition(hour) + 500n, latest: parseCommitTime(hourTime(hour + 0.5)), heartbeats },
      { to: hourPosition(hour + 1), latest: parseCommitTime(hourTime(hour + 0.9)) },
    );
    if (hour % 4 === 3) await stream.chapter();
  }
  return stream;
}

/** A whole snapshot of an hour, with one object of data; its oldest transaction began in `since`. */
export async function hourlySnapshot(
  repository: Repository,
  hour: number,
  more: { readonly since?: number; readonly manifest?: Partial<Manifest> } = {},
): Promise<string> {
  const id = `${hourTime(hour).replaceAll(/[-:]/g, '').replace('.000', '')}-aaaaaa`;
  const bytes = Buffer.alloc(1000, 'x');
  const at = { source: 'main', id };
  await repository.store.putIfAbsent(keys.snapshotObject(at.source, id, 'schema.dump'), bytes, { signal });
  const xmin = 101 + (more.since ?? hour) * 10;
  await storeManifest(
    repository,
    manifestOf(repository, {
      id,
      instant: hourTime(hour),
      tie: {
        kind: 'xid',
        stream: STREAM,
        snapshot: `${xmin}:${100 + hour * 10 + 9}:`,
        upper: formatLsn(asLsn(hourPosition(hour) + 700n)),
      },
      parts: [{ role: 'schema', name: 'schema.dump', sizeBytes: bytes.length, sha256: sha256Hex(bytes) }],
      ...more.manifest,
    }),
  );
  return id;
}
