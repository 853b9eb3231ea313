import type { Manifest, TableEntry } from '../archive/manifest.ts';
import { Failure } from '../model/failure.ts';
import { formatBytes } from '../model/quantities.ts';

/** What a restore will write on the target, in bytes. From above where it is not known exactly. */
export interface SpaceNeed {
  readonly tables: number;
  readonly indexes: number;
  readonly largeObjects: number;
}

/** A file system of the target and what is to lie there. */
export interface Volume {
  readonly directory: string;
  readonly freeBytes: number;
  readonly holdsTables: boolean;
  readonly holdsWal: boolean;
}

/** What is known of the target's disks, or why nothing is. */
export type TargetDisk =
  | {
      readonly volumes: readonly Volume[];
      /** The server keeps about this much WAL before it uses its files again. */
      readonly walBytes: number;
      /** Of the tables to restore: on disk already, or given back before. */
      readonly takenBytes: number;
    }
  | { readonly unknown: string };

/** A row's header, its line pointer and alignment; and what a short text takes more as a value, at most. */
const ROW_BYTES = 28;
const COLUMN_BYTES = 12;
/** Where the snapshot does not say: indexes take half of what their table does. */
const INDEX_SHARE = 0.5;
/** Pages that several connections leave half full, free space and visibility maps. */
const MARGIN = 1.1;

/**
 * Pure. A table takes little more than it took on the source, where dead rows may have been among it, and little more
 * than its rows do. What materialised views will hold and what sorts write meanwhile is not known and not counted.
 */
export function spaceNeed(tables: readonly TableEntry[], manifest: Pick<Manifest, 'parts'>): SpaceNeed {
  const sizes = tables.map((table) => tableBytes(table));
  const indexes = tables.map((table, at) =>
    table.indexBytes === undefined ? INDEX_SHARE * (sizes[at] ?? 0) : Number(table.indexBytes),
  );
  const largeObjects = manifest.parts.filter((part) => part.role === 'large-objects');
  return {
    tables: Math.ceil(MARGIN * sum(sizes)),
    indexes: Math.ceil(MARGIN * sum(indexes)),
    // Compressed here as there.
    largeObjects: tables.length === 0 ? 0 : sum(largeObjects.map((part) => part.sizeBytes)),
  };
}

function tableBytes(table: TableEntry): number {
  const onSource = table.tableBytes === undefined ? Infinity : Number(table.tableBytes);
  // Engine pg_dump counts rows only.
  if (table.data === 'dumped') return Number.isFinite(onSource) ? onSource : 0;
  const byRows =
    Number(table.copyBytes) + Number(table.rows) * (ROW_BYTES + COLUMN_BYTES * table.columns.length);
  return Math.min(onSource, byRows);
}

/** Pure. Fails with `target.space` when a volume is known to be too small. */
export function refuseTooSmall(need: SpaceNeed, disk: TargetDisk): void {
  if ('unknown' in disk) return;
  for (const volume of disk.volumes) {
    const parts = partsOn(volume, { need, disk });
    const bytes = sum(Object.values(parts));
    if (bytes <= volume.freeBytes) continue;
    throw new Failure(
      'target.space',
      `the target has ${formatBytes(volume.freeBytes)} free at ${volume.directory}, the restore needs about ${formatBytes(bytes)} there: ${inWords(parts)}`,
      { facts: { directory: volume.directory, freeBytes: volume.freeBytes, neededBytes: bytes } },
    );
  }
}

/** For the plan: one line, whether it is known or not. */
export function spaceLine(need: SpaceNeed, disk: TargetDisk): string {
  if ('unknown' in disk) {
    const parts = { tables: need.tables, indexes: need.indexes, 'large objects': need.largeObjects };
    return `about ${formatBytes(sum(Object.values(parts)))} will be taken on the target (${inWords(parts)}), and WAL; what is free there is not known: ${disk.unknown}`;
  }
  const lines = disk.volumes.map((volume) => {
    const parts = partsOn(volume, { need, disk });
    return `${formatBytes(sum(Object.values(parts)))} of ${formatBytes(volume.freeBytes)} free at ${volume.directory} (${inWords(parts)})`;
  });
  return `about ${lines.join(', and ')} will be taken on the target`;
}

function partsOn(
  volume: Volume,
  facts: { readonly need: SpaceNeed; readonly disk: Exclude<TargetDisk, { readonly unknown: string }> },
): Record<string, number> {
  const { need, disk } = facts;
  const left = Math.max(0, need.tables + need.indexes - disk.takenBytes);
  const share = need.tables + need.indexes === 0 ? 0 : left / (need.tables + need.indexes);
  // All that is written goes through WAL, of which the server keeps this much.
  const wal = Math.min(disk.walBytes, left + need.largeObjects);
  return {
    ...(volume.holdsTables && {
      tables: Math.round(share * need.tables),
      indexes: Math.round(share * need.indexes),
      'large objects': need.largeObjects,
    }),
    ...(volume.holdsWal && { WAL: Math.round(wal) }),
  };
}

function inWords(parts: Readonly<Record<string, number>>): string {
  return Object.entries(parts)
    .filter(([name, bytes]) => bytes > 0 || name === 'tables')
    .map(([name, bytes]) => `${name} ${formatBytes(bytes)}`)
    .join(', ');
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
