import type { StreamDocument } from '../archive/stream-documents.ts';
import { parseSegmentName } from '../archive/stream-names.ts';
import { openHistory } from '../catalog/source-history.ts';
import { streamTip } from '../catalog/stream-tip.ts';
import { StreamView } from '../catalog/stream-view.ts';
import { listStreams } from '../catalog/streams.ts';
import { readLog } from '../history/read-log.ts';
import type { LoggedTransaction, LogRange, RowKind } from '../history/read-log.ts';
import { segmentText } from '../history/segment-text.ts';
import { filtered } from '../history/summary.ts';
import { formatCommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import { asLsn, formatLsn } from '../model/lsn.ts';
import { relationPattern } from '../model/patterns.ts';
import { parseRecoveryTarget } from '../recovery/target.ts';
import { withRepository } from './list-job.ts';
import type { Settings } from './settings.ts';

export interface LogJobOptions {
  /** Name patterns. */
  readonly tables: readonly string[];
  /** None: all. */
  readonly kinds: readonly RowKind[];
  /** A time or `lsn:…`; included. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly timeZone: string | undefined;
  readonly signal: AbortSignal;
  readonly onTransaction: (transaction: LoggedTransaction, stream: string) => void;
}

/** The transactions of a source's streams, in order, as they are read. Fails with `check.empty` without a stream. */
export async function logJob(settings: Settings, options: LogJobOptions): Promise<void> {
  const patterns = options.tables.map(relationPattern);
  const filter = {
    ...(patterns.length > 0 && {
      table: (table: { readonly schema: string; readonly name: string }) =>
        patterns.some((pattern) => pattern.matches(table)),
    }),
    ...(options.kinds.length > 0 && { kinds: options.kinds }),
  };
  const range = rangeOf(options);
  await withRepository(settings, options.signal, async (repository) => {
    const source = settings.sourceName;
    const { streams } = await openHistory([repository], { source, signal: options.signal });
    if (streams.length === 0)
      throw new Failure(
        'check.empty',
        `no change stream of source ${source} in ${repository.store.location}`,
      );
    const opener = await settings.opener();
    for (const view of streams)
      for await (const transaction of readLog(view, { ...range, opener, signal: options.signal })) {
        const left = filtered(transaction, filter);
        if (left !== undefined) options.onTransaction(left, view.id);
      }
  });
}

function rangeOf(options: Pick<LogJobOptions, 'from' | 'to' | 'timeZone'>): LogRange {
  const [from, to] = [options.from, options.to].map((text) => {
    if (text === undefined) return undefined;
    const target = parseRecoveryTarget(text, { timeZone: options.timeZone });
    if (target.kind === 'time' || target.kind === 'lsn') return target;
    throw new Failure('usage.invalid', `--from and --to take a time or lsn:…, not ${text}`);
  });
  return {
    ...(from?.kind === 'time' && { fromTime: from.time }),
    ...(from?.kind === 'lsn' && { fromLsn: from.lsn }),
    ...(to?.kind === 'time' && { toTime: to.time }),
    ...(to?.kind === 'lsn' && { toLsn: asLsn(to.lsn + 1n) }),
  };
}

export interface StreamFound {
  readonly document: StreamDocument;
  readonly covered: readonly { readonly from: string; readonly to: string }[];
  readonly chapters: number;
  readonly segments: number;
  readonly latestCommitTime: string | undefined;
}

/** One stream by its id; undefined when there is none. */
export async function findStreamJob(
  settings: Settings,
  options: { readonly stream: string; readonly signal: AbortSignal },
): Promise<StreamFound | undefined> {
  const { stream, signal } = options;
  const source = settings.sourceName;
  return withRepository(settings, signal, async (repository) => {
    if (!(await listStreams(repository, { source, signal })).includes(stream)) return undefined;
    const view = await StreamView.open(repository, { source, stream }, { signal });
    const { latestCommitTime } = await streamTip(view);
    const entries = view.pieces.flat();
    return {
      document: view.document,
      covered: view.covered.map(({ from, to }) => ({ from: formatLsn(from), to: formatLsn(to) })),
      chapters: entries.filter(({ kind }) => kind === 'chapter').length,
      segments: entries.filter(({ kind }) => kind === 'segment').length,
      latestCommitTime: latestCommitTime === undefined ? undefined : formatCommitTime(latestCommitTime),
    };
  });
}

/** `STREAM/FROM-TO.tar`, or such a key in a repository; undefined for anything else. */
export function segmentAddress(text: string): { readonly stream: string; readonly name: string } | undefined {
  const [name = '', stream = ''] = text.split('/').reverse();
  return stream === '' || parseSegmentName(name) === undefined ? undefined : { stream, name };
}

/** One segment as text, a message a line. */
export async function showSegmentJob(
  settings: Settings,
  options: {
    readonly stream: string;
    readonly name: string;
    readonly signal: AbortSignal;
    readonly write: (line: string) => void;
  },
): Promise<void> {
  const { stream, name, signal } = options;
  await withRepository(settings, signal, async (repository) => {
    const how = { opener: await settings.opener(), signal };
    for await (const line of segmentText(repository, { source: settings.sourceName, stream, name }, how))
      options.write(line);
  });
}
