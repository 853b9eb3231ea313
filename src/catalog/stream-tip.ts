import type { CommitTime } from '../model/commit-time.ts';
import type { Lsn } from '../model/lsn.ts';
import type { StreamView } from './stream-view.ts';

/** Where a stream ends: what a capture goes on from. */
export interface StreamTip {
  readonly to: Lsn;
  /** What the next run is chained to. */
  readonly chain: string;
  readonly latestCommitTime: CommitTime | undefined;
}

/** Reads the last segment or chapter, no other. Of a stream without segments: its start. */
export async function streamTip(view: StreamView): Promise<StreamTip> {
  const entry = view.pieces.at(-1)?.at(-1);
  const last = entry === undefined ? undefined : (await view.runsOf(entry)).at(-1);
  return last ?? { to: view.start, chain: view.sha256, latestCommitTime: undefined };
}
