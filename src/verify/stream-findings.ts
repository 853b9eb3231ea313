import type { RunDocument } from '../archive/run-document.ts';
import { lsnOf } from '../archive/run-document.ts';
import type { ChapterDocument } from '../archive/stream-documents.ts';
import { segmentName } from '../archive/stream-names.ts';
import type { Link } from '../catalog/pieces.ts';
import { FAILURE_CODES } from '../model/failure-codes.ts';
import type { FailureCode } from '../model/failure-codes.ts';
import type { Finding } from '../model/finding.ts';
import { formatLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';

/** A segment that was read; without digests and runs when that failed. */
export interface SeenSegment extends Link {
  readonly sizeBytes: number;
  readonly sha256?: string;
  readonly runs?: readonly RunDocument[];
}

/** From where on a stream must be there, since what lay before was taken away. */
export interface Cut {
  readonly at: Lsn;
  /** What the run that begins there is chained to. */
  readonly previous: string;
}

/** What the chain of a stream says of what is missing: in front, in between. */
export function chainFindings(
  found: readonly (readonly SeenSegment[])[],
  stream: {
    readonly start: Lsn;
    /** SHA-256 of `stream.json`. */
    readonly genesis: string;
    readonly cut: Cut | undefined;
    readonly all: readonly SeenSegment[];
  },
): Finding[] {
  const findings: Finding[] = [];
  for (const [index, piece] of found.entries()) {
    const first = piece[0];
    if (first === undefined) continue;
    const end = found[index - 1]?.at(-1)?.to;
    // What lies before a cut goes, some at once.
    if (end !== undefined && first.from <= (stream.cut?.at ?? 0n)) continue;
    if (end !== undefined) findings.push(breakFinding(end, first));
    else findings.push(...beginningFindings(first, stream));
  }
  const used = new Set(found.flat());
  const beside = stream.all.filter((segment) => !used.has(segment)).length;
  if (beside > 0)
    findings.push({
      level: 'info',
      check: 'stream.beside',
      message: `${beside} segment(s) are stored twice: by two writers, or merged; readers take one of each`,
    });
  return findings;
}

/** Whether a chapter says what its segments say. */
export function chapterFindings(
  chapter: ChapterDocument,
  stream: {
    readonly key: string;
    readonly seen: readonly SeenSegment[];
    readonly found: readonly (readonly SeenSegment[])[];
    readonly cut: Cut | undefined;
  },
): Finding[] {
  const byName = new Map(stream.seen.map((segment) => [segmentName(segment), segment]));
  return chapter.segments.flatMap((told): Finding[] => {
    const stretch = { from: lsnOf(told.from), to: lsnOf(told.to) };
    const name = segmentName(stretch);
    const segment = byName.get(name);
    if (segment === undefined) {
      const isCovered = stream.found.some(
        (piece) => (piece[0]?.from ?? stretch.to) <= stretch.from && stretch.to <= (piece.at(-1)?.to ?? 0n),
      );
      const isCut = stream.cut !== undefined && stretch.to <= stream.cut.at;
      return isCovered || isCut
        ? []
        : [error('repository.object_missing', `${stream.key} tells of ${name}, which is not there`)];
    }
    if (segment.sha256 === undefined) return [];
    const chains = (runs: readonly { readonly chain: string }[]): string =>
      runs.map(({ chain }) => chain).join();
    const isSame =
      segment.sha256 === told.sha256 &&
      segment.sizeBytes === told.sizeBytes &&
      chains(segment.runs ?? []) === chains(told.runs);
    return isSame ? [] : [error('integrity.digest', `${stream.key} says otherwise of ${name} than it is`)];
  });
}

function breakFinding(end: Lsn, next: SeenSegment): Finding {
  const [from, to] = [formatLsn(end), formatLsn(next.from)];
  return error(
    'integrity.chain',
    next.from === end
      ? `${segmentName(next)} is not chained to what is stored before ${to}`
      : `changes from ${from} to ${to} are missing: nothing is stored between the segment that ends there and ${segmentName(next)}`,
  );
}

/** A beginning that is gone is damage, unless a cut says that it was taken away: then nothing behind the cut may be gone. */
function beginningFindings(
  first: SeenSegment,
  stream: { readonly start: Lsn; readonly genesis: string; readonly cut: Cut | undefined },
): Finding[] {
  const { cut, start, genesis } = stream;
  const isChained = (to: string): boolean => first.previous === undefined || first.previous === to;
  if (first.from === start)
    return isChained(genesis)
      ? []
      : [error('integrity.chain', `${segmentName(first)} is not chained to stream.json`)];
  const expected = cut?.at ?? start;
  if (first.from > expected)
    return [
      error(
        'integrity.chain',
        `changes from ${formatLsn(expected)} to ${formatLsn(first.from)} are missing, and no cut says that they were taken away`,
      ),
    ];
  if (cut !== undefined && first.from === cut.at && !isChained(cut.previous))
    return [error('integrity.chain', `${segmentName(first)} is not what was there when the stream was cut`)];
  const message = `changes before ${formatLsn(first.from)} were taken away by prune`;
  return [{ level: 'info', check: 'stream.pruned', message }];
}

function error(check: FailureCode, message: string): Finding {
  return { level: 'error', check, message, remedy: FAILURE_CODES[check].remedy };
}
