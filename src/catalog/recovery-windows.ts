import type { Manifest } from '../archive/manifest.ts';
import { formatCommitTime } from '../model/commit-time.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { formatLsn } from '../model/lsn.ts';
import { readManifest } from './snapshots.ts';
import { judgeIn } from './source-history.ts';
import type { SourceHistory } from './source-history.ts';
import type { StreamView } from './stream-view.ts';
import type { Usability } from './usability.ts';
import { tableGaps, windowsOf } from './window.ts';
import type { UsableSnapshot, Wanted, Window } from './window.ts';

/** Every position in it can be restored to, and every time in it. */
export interface RecoveryWindow extends Window {
  readonly stream: string;
  /** Absent when no time can be told: it has too few commits. Both ends are such times. */
  readonly times: { readonly from: CommitTime; readonly to: CommitTime } | undefined;
}

interface JudgedManifest {
  readonly manifest: Manifest;
  readonly use: Usability;
}

/** Every manifest of a history. Where one can't be read, it fails: a window is no guess. */
export async function readManifests(
  history: SourceHistory,
  options: { readonly signal: AbortSignal },
): Promise<Manifest[]> {
  const manifests: Manifest[] = [];
  for (const { repository, id } of history.snapshots)
    manifests.push((await readManifest(repository, { source: history.source, id }, options)).document);
  return manifests;
}

/** The windows that these snapshots open in the history's streams, for all or what is wanted, and what can be done with each of them. */
export async function recoveryWindows(
  history: SourceHistory,
  manifests: readonly Manifest[],
  wanted: Wanted = [],
): Promise<{ readonly windows: RecoveryWindow[]; readonly snapshots: JudgedManifest[] }> {
  const snapshots: JudgedManifest[] = [];
  for (const manifest of manifests) snapshots.push({ manifest, use: await judgeIn(history, manifest) });
  const windows: RecoveryWindow[] = [];
  for (const view of history.streams) {
    const usable = snapshots.flatMap(({ manifest, use }): UsableSnapshot[] =>
      use.kind === 'usable' && use.stream === view.id ? [{ manifest, use }] : [],
    );
    for (const window of windowsOf(usable, tableGaps(history.gaps, view.id), wanted))
      windows.push({ ...window, stream: view.id, times: await timesOf(view, window) });
  }
  return { windows, snapshots };
}

/** For facts and remedies: `2026-… (16/B374D848) to …`. */
export function formatWindow({ from, to, times }: RecoveryWindow): string {
  const end = (time: CommitTime | undefined, position: Window['from']): string =>
    time === undefined ? formatLsn(position) : `${formatCommitTime(time)} (${formatLsn(position)})`;
  return `${end(times?.from, from)} to ${end(times?.to, to)}`;
}

/**
 * Times whose stop surely lies in the window. From: no commit before the window is later. To: a commit in the window
 * is later, and ends the replay there; Postgres' clock counts in microseconds.
 */
async function timesOf(view: StreamView, window: Window): Promise<RecoveryWindow['times']> {
  const piece = view.pieces.find(
    (entries) => (entries[0]?.from ?? 0n) <= window.from && window.from <= (entries.at(-1)?.to ?? 0n),
  );
  if (piece === undefined) return undefined;
  const at = await view.runAt(window.from);
  const first = at?.latestCommitTime === undefined ? await view.firstRunWhere(piece, () => true) : at;
  const last = await view.runAt(window.to);
  // A window may end within a run, which then has later commits than the window.
  const latest = last === undefined || last.to <= window.to ? last : await view.runAt(last.from);
  const end = latest === undefined || latest.to > window.to ? undefined : latest.latestCommitTime;
  const from = first?.latestCommitTime;
  return from === undefined || end === undefined || from >= end ? undefined : { from, to: end - 1n };
}
