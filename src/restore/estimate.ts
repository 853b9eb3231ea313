import type { TableEntry } from '../archive/manifest.ts';
import { formatBytes, formatDuration } from '../model/quantities.ts';
import { spaceNeed } from './space.ts';
import type { SpaceNeed } from './space.ts';

/** What was measured just now, for a guess at how long a restore takes. */
export interface Speed {
  /** Digests that the target made and sorted in a second, on as many connections as the restore will use. */
  readonly digestsPerSecond: number;
  readonly connections: number;
  /** Of one read from the repository; undefined when there was nothing to read. */
  readonly repository: { readonly bytes: number; readonly bytesPerSecond: number } | undefined;
}

/** Of a plan, what takes time. */
interface Work {
  readonly tables: readonly TableEntry[];
  readonly copyBytes: number;
  readonly storedBytes: number;
  readonly preData: readonly unknown[];
  readonly postData: readonly unknown[];
}

/** A range in milliseconds, and what it stands on. */
export interface TimeEstimate {
  readonly lowMs: number;
  readonly highMs: number;
  readonly basis: string;
}

/**
 * What a byte of a restore costs, in digests that the server could have made meanwhile: rows with their counts and
 * statistics, and indexes. Measured on the sample with PostgreSQL 17, client and server on one machine.
 */
const DIGESTS_PER_COPY_BYTE = 0.016;
const DIGESTS_PER_INDEX_BYTE = 0.032;
/** Catalog and commit. */
const MS_PER_DEFINITION = 4;
/** How far the truth lies from it: faster where the client is elsewhere, slower where the disk is. */
const FASTER = 0.5;
const SLOWER = 2;

/** Pure. The slower of the target and the repository decides, since both work at once. */
export function estimateTime(plan: Work, speed: Speed): TimeEstimate {
  const need = spaceNeed(plan.tables, { parts: [] });
  const rowBytes = plan.copyBytes === 0 ? need.tables : plan.copyBytes;
  const digests = rowBytes * DIGESTS_PER_COPY_BYTE + need.indexes * DIGESTS_PER_INDEX_BYTE;
  const definitions = MS_PER_DEFINITION * (plan.preData.length + plan.postData.length);
  const target = (1000 * digests) / speed.digestsPerSecond + definitions;
  const reading =
    speed.repository === undefined ? 0 : (1000 * plan.storedBytes) / speed.repository.bytesPerSecond;
  return {
    lowMs: Math.max(FASTER * target, reading / speed.connections),
    highMs: Math.max(SLOWER * target, reading),
    basis: basis({ rowBytes, need, speed }),
  };
}

function basis(of: { readonly rowBytes: number; readonly need: SpaceNeed; readonly speed: Speed }): string {
  const { repository, connections } = of.speed;
  const read =
    repository === undefined
      ? ''
      : ` and by ${formatBytes(repository.bytes)} read from the repository at ${formatBytes(repository.bytesPerSecond)}/s`;
  return `for ${formatBytes(of.rowBytes)} of rows and ${formatBytes(of.need.indexes)} of indexes, by a small calculation on ${connections} connection${connections === 1 ? '' : 's'} of the target${read}; its disk was not measured`;
}

export function estimateLine({ lowMs, highMs, basis }: TimeEstimate): string {
  return `${formatDuration(lowMs)} to ${formatDuration(highMs)} ${basis}`;
}
