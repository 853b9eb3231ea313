import type { Manifest } from '../archive/manifest.ts';
import type { GapDocument } from '../archive/stream-documents.ts';
import { recoveryWindows } from '../catalog/recovery-windows.ts';
import type { RecoveryWindow } from '../catalog/recovery-windows.ts';
import type { Repository } from '../catalog/repository.ts';
import { openHistory } from '../catalog/source-history.ts';
import type { StreamView } from '../catalog/stream-view.ts';
import type { RunSummary } from '../catalog/stream-runs.ts';
import { streamTip } from '../catalog/stream-tip.ts';
import { limitedTables, readTables } from '../catalog/tables.ts';
import type { LimitedTable } from '../catalog/tables.ts';
import type { Usability } from '../catalog/usability.ts';
import { formatCommitTime } from '../model/commit-time.ts';
import { formatLsn } from '../model/lsn.ts';

const LAST_RUNS = 10;

/** A manifest and where it was read. */
export interface LocatedManifest {
  readonly manifest: Manifest;
  readonly repository: Repository;
}

export interface ListedStream {
  readonly id: string;
  /** Location of the one that has most of it. */
  readonly repository: string;
  readonly source: string;
  /** Of what is stored. */
  readonly from: string;
  readonly to: string;
  readonly latestCommitTime: string | undefined;
  /** More than one: something is missing in between. */
  readonly pieces: number;
  /** How far schema changes are known in what was stored last; the least of its runs. Absent before the first one. */
  readonly ddl: RunSummary['ddl'] | undefined;
  /** Tables of which not all changes are stored just now; of the newest stream alone. */
  readonly limited: readonly LimitedTable[];
}

/** Both ends can be restored to: positions as what committed before them. */
export interface ListedWindow {
  readonly stream: string;
  readonly from: string;
  readonly to: string;
  readonly fromTime: string | undefined;
  readonly toTime: string | undefined;
}

/** What can be restored to from one repository alone. */
export interface OwnWindow extends ListedWindow {
  readonly repository: string;
}

export interface ListedHistory {
  readonly streams: readonly ListedStream[];
  readonly windows: readonly ListedWindow[];
  /** Empty for a single repository, whose own windows are the windows. */
  readonly ownWindows: readonly OwnWindow[];
  readonly gaps: readonly GapDocument[];
  readonly uses: readonly { readonly source: string; readonly id: string; readonly use: Usability }[];
}

/** Streams, windows and gaps of one source in all of these repositories together. */
export async function listHistory(
  repositories: readonly Repository[],
  options: {
    readonly source: string;
    readonly manifests: readonly LocatedManifest[];
    readonly signal: AbortSignal;
  },
): Promise<ListedHistory> {
  const { source, manifests } = options;
  const history = await openHistory(repositories, options);
  const { windows, snapshots } = await recoveryWindows(
    history,
    manifests.map(({ manifest }) => manifest),
  );
  const streams: ListedStream[] = [];
  for (const view of history.streams) {
    const isNewest = view === history.streams.at(-1);
    const at = { source, stream: view.id };
    const tables = isNewest ? await readTables(view.repository, at, options) : undefined;
    streams.push({ ...(await listedStream(view)), limited: limitedTables(tables) });
  }
  return {
    streams,
    windows: windows.map(listedWindow),
    ownWindows: repositories.length < 2 ? [] : await ownWindows(repositories, options),
    gaps: history.gaps,
    uses: snapshots.map(({ manifest, use }) => ({ source, id: manifest.id, use })),
  };
}

async function ownWindows(
  repositories: readonly Repository[],
  options: Parameters<typeof listHistory>[1],
): Promise<OwnWindow[]> {
  const found: OwnWindow[] = [];
  for (const repository of repositories) {
    const own = options.manifests.filter((one) => one.repository === repository);
    const { windows } = await recoveryWindows(
      await openHistory([repository], options),
      own.map(({ manifest }) => manifest),
    );
    const { location } = repository.store;
    found.push(...windows.map((window) => ({ ...listedWindow(window), repository: location })));
  }
  return found;
}

async function listedStream(view: StreamView): Promise<Omit<ListedStream, 'limited'>> {
  const { to, latestCommitTime } = await streamTip(view);
  return {
    id: view.id,
    repository: view.repository.store.location,
    source: view.document.source,
    from: formatLsn(view.covered[0]?.from ?? view.start),
    to: formatLsn(to),
    latestCommitTime: latestCommitTime === undefined ? undefined : formatCommitTime(latestCommitTime),
    pieces: view.pieces.length,
    ddl: await latestDdl(view),
  };
}

/** Of the last segment or chapter, which `streamTip` has read already. */
async function latestDdl(view: StreamView): Promise<ListedStream['ddl']> {
  const entry = view.pieces.at(-1)?.at(-1);
  const runs = entry === undefined ? [] : (await view.runsOf(entry)).slice(-LAST_RUNS);
  const found = new Set(runs.map(({ ddl }) => ddl));
  return (['unknown', 'inferred', 'exact'] as const).find((ddl) => found.has(ddl));
}

function listedWindow({ stream, from, to, times }: RecoveryWindow): ListedWindow {
  return {
    stream,
    from: formatLsn(from),
    to: formatLsn(to),
    fromTime: times && formatCommitTime(times.from),
    toTime: times && formatCommitTime(times.to),
  };
}
