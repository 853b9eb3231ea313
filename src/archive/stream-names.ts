import { lsnKey, parseLsnKey } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';

/** The stretch of a stream that an object's name claims, half-open. */
export interface Stretch {
  readonly from: Lsn;
  readonly to: Lsn;
}

/** `<from>-<to>.tar`: names sort as positions do, and adjacency shows from a listing alone that none is missing. */
export function segmentName({ from, to }: Stretch): string {
  return `${lsnKey(from)}-${lsnKey(to)}.tar`;
}

/** Undefined for any other name. */
export function parseSegmentName(name: string): Stretch | undefined {
  return parseStretch(/^([0-9A-F]{16})-([0-9A-F]{16})\.tar$/.exec(name));
}

export function chapterName({ from, to }: Stretch): string {
  return `chapters/${lsnKey(from)}-${lsnKey(to)}.json.zst`;
}

export function parseChapterName(name: string): Stretch | undefined {
  return parseStretch(/^chapters\/([0-9A-F]{16})-([0-9A-F]{16})\.json\.zst$/.exec(name));
}

/** Names sort as positions do. */
export function tablesName(position: Lsn): string {
  return `tables/${lsnKey(position)}.json`;
}

/** A piece of the transaction that commits at `finalLsn`. `attempt`: random, a new one each time it is sent again. */
export function partName(part: {
  readonly finalLsn: Lsn;
  readonly attempt: string;
  readonly number: number;
}): string {
  return `parts/${lsnKey(part.finalLsn)}-${part.attempt}/${part.number}.tar`;
}

function parseStretch(match: RegExpExecArray | null): Stretch | undefined {
  const from = parseLsnKey(match?.[1] ?? '');
  const to = parseLsnKey(match?.[2] ?? '');
  return from === undefined || to === undefined || from >= to ? undefined : { from, to };
}
