import { compressionSuffix } from './compression.ts';
import type { Compression } from './manifest.ts';

/** COPY bytes in one part: bounds memory, and what a reader must hold to check a digest. */
export const PART_BYTES = 4 * 1024 * 1024;

interface NameFacts {
  readonly table: number;
  readonly schema: string;
  readonly name: string;
  readonly range: number;
  readonly part: number;
  readonly compression: Compression;
  readonly encrypted: boolean;
}

const SLUG_CHARACTERS = 40;

/**
 * `data/00012-public-users/000003.0001.copy.zst.age`: table, range and part, so that the names' order is the
 * COPY stream's. The slug is for people; only the numbers mean something. At most 91 ASCII characters, which
 * fits an ustar header as it is.
 */
export function memberName(facts: NameFacts): string {
  const folder = `${digits(facts.table, 5)}-${slug(`${facts.schema}-${facts.name}`)}`;
  const suffix = `${compressionSuffix(facts.compression)}${facts.encrypted ? '.age' : ''}`;
  return `data/${folder}/${digits(facts.range, 6)}.${digits(facts.part, 4)}.copy${suffix}`;
}

/** The numbers in a member's name; undefined when it is no such name. */
export function parseMemberName(name: string): { table: number; range: number; part: number } | undefined {
  const match =
    /^data\/(\d{5,10})-[a-z0-9_-]{1,40}\/(\d{6,10})\.(\d{4,10})\.copy(?:\.zst|\.gz)?(?:\.age)?$/.exec(name);
  if (match === null) return undefined;
  return { table: Number(match[1]), range: Number(match[2]), part: Number(match[3]) };
}

function slug(text: string): string {
  const harmless = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]+/g, '-')
    .slice(0, SLUG_CHARACTERS);
  return harmless === '' ? '-' : harmless;
}

function digits(value: number, width: number): string {
  return String(value).padStart(width, '0');
}
