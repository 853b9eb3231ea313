import { decodeMemberList } from '../archive/member-list.ts';
import { sha256Hex } from '../archive/digest.ts';
import type { Manifest, Member } from '../archive/manifest.ts';
import { keys } from './keys.ts';
import type { Repository } from './repository.ts';
import { readSmallObject } from './small-object.ts';
import { Failure } from '../model/failure.ts';

/** A part and the archive it lies in. */
export interface LocatedMember extends Member {
  readonly archive: string;
}

/** One COPY stream of a table: its parts in order, and the rows they hold. */
export interface StoredRange {
  readonly table: number;
  readonly range: number;
  readonly rows: bigint;
  readonly copyBytes: number;
  readonly storedBytes: number;
  readonly parts: readonly LocatedMember[];
}

/** A member list is small beside its archive: some 300 bytes for a part. */
const MAX_LIST_BYTES = 256 * 1024 * 1024;

/**
 * Reads all member lists of a snapshot and puts the ranges together. Every range of every table must be there,
 * whole, with the row counts that the manifest gives: a list that was cut or changed is found before anything
 * is read or restored. Fails with `integrity.*`.
 */
export async function readMemberIndex(
  repository: Repository,
  manifest: Manifest,
  options: { readonly signal: AbortSignal },
): Promise<ReadonlyMap<number, readonly StoredRange[]>> {
  const members: LocatedMember[] = [];
  for (const archive of manifest.archives) {
    const key = keys.snapshotObject(manifest.source, manifest.id, archive.members.name);
    const bytes = await readSmallObject(repository.store, key, {
      signal: options.signal,
      maxBytes: MAX_LIST_BYTES,
    });
    if (bytes.length !== archive.members.sizeBytes || sha256Hex(bytes) !== archive.members.sha256) {
      throw new Failure('integrity.digest', `${key} is not what the manifest says`, {
        facts: { object: key },
      });
    }
    for (const member of await decodeMemberList(bytes)) {
      if (member.offset + member.sizeBytes > archive.data.sizeBytes)
        throw broken(key, 'a member beyond the archive’s end');
      members.push({ ...member, archive: archive.data.name });
    }
  }
  return indexMembers(members, manifest);
}

/** The pure half of `readMemberIndex`. */
export function indexMembers(
  members: readonly LocatedMember[],
  manifest: Manifest,
): ReadonlyMap<number, readonly StoredRange[]> {
  const parts = Map.groupBy(members, (member) => `${member.table}/${member.range}`);
  const index = new Map<number, StoredRange[]>();
  for (const table of manifest.tables.filter((entry) => entry.data === 'included')) {
    const ranges = Array.from({ length: table.ranges }, (_, range) =>
      toRange(
        { table: table.number, range, parts: parts.get(`${table.number}/${range}`) ?? [] },
        manifest.id,
      ),
    );
    const rows = ranges.reduce((sum, range) => sum + range.rows, 0n);
    if (rows.toString() !== table.rows) {
      throw broken(
        manifest.id,
        `table ${table.number} has ${rows} rows in the lists, ${table.rows} in the manifest`,
      );
    }
    index.set(table.number, ranges);
  }
  const listed = [...index.values()].flat().reduce((sum, range) => sum + range.parts.length, 0);
  if (listed !== members.length) throw broken(manifest.id, 'members that belong to no table');
  return index;
}

function toRange(
  found: { readonly table: number; readonly range: number; readonly parts: readonly LocatedMember[] },
  snapshot: string,
): StoredRange {
  const parts = [...found.parts].sort((a, b) => a.part - b.part);
  const where = `table ${found.table}, range ${found.range}`;
  if (parts.length === 0) throw broken(snapshot, `${where} has no part`);
  if (parts.some((part, index) => part.part !== index)) throw broken(snapshot, `${where} lacks a part`);
  const rows = parts.at(-1)?.rows;
  if (rows === undefined || parts.slice(0, -1).some((part) => part.rows !== undefined)) {
    throw broken(snapshot, `${where} does not end with its last part`);
  }
  return {
    table: found.table,
    range: found.range,
    rows: BigInt(rows),
    copyBytes: parts.reduce((sum, part) => sum + part.copyBytes, 0),
    storedBytes: parts.reduce((sum, part) => sum + part.sizeBytes, 0),
    parts,
  };
}

function broken(object: string, what: string): Failure {
  return new Failure('integrity.format', `the member lists do not fit: ${what}`, { facts: { object } });
}
