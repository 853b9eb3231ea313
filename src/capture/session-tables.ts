import type { GapDocument } from '../archive/stream-documents.ts';
import { describeLimited, limitedTables, readTables } from '../catalog/tables.ts';
import { asFailure } from '../model/failure.ts';
import type { Lsn } from '../model/lsn.ts';
import type { Admitted } from './admit.ts';
import { newestHeartbeat } from './current-stream.ts';
import type { TableLook } from './judge-tables.ts';
import type { CaptureRequest } from './request.ts';
import { outOfLine, tendPublications } from './set-up/tend-publications.ts';
import { TableWatch } from './table-watch.ts';

/** What could not be brought in line, for want of rights, is tried again so often; what somebody holds, so often. */
const TEND_AGAIN_MS = 30 * 60_000;
const HELD_MS = 60_000;

const WHY: Partial<Record<GapDocument['reason'], string>> = {
  'table-rewritten': 'the table was rewritten',
  'table-added': 'the table was there before all of its changes were published',
  'no-identity': 'updates and deletes were not published until the table had a key',
  'publication-changed': 'the table was taken out of the publication and added again',
};

/** Goes on from what an earlier session has stored of the tables. */
export async function openTableWatch(
  request: CaptureRequest,
  from: Pick<Admitted, 'current' | 'facts'> & {
    readonly onUnseen: (until: Lsn) => void;
    readonly signal: AbortSignal;
  },
): Promise<TableWatch> {
  const { repository, names, source, onEvent } = request;
  const { view, tip } = from.current;
  const at = { source, stream: view.id };
  return new TableWatch({
    repository,
    at,
    names,
    stored: await readTables(repository, at, from),
    holdsUntil: (await newestHeartbeat(view, tip.to)) ?? view.start,
    signed: from.facts.signature !== undefined,
    onGap: (gap) => tellGap(request, gap),
    onLimited: (tables) => {
      const limited = limitedTables({ tables });
      onEvent({ kind: 'tables-limited', tables: limited, why: describeLimited(limited) });
    },
    onSchemaChanged: () => onEvent({ kind: 'schema-changed', changes: 1, exact: false }),
    onUnseen: from.onUnseen,
    onTrouble: (failure) => onEvent({ kind: 'store-trouble', failure }),
    signal: from.signal,
  });
}

/** Of tables; and that only a snapshot closes it. */
export function tellGap({ onEvent }: CaptureRequest, gap: GapDocument): void {
  onEvent({ kind: 'gap', gap, why: WHY[gap.reason] ?? 'changes of tables are missing' });
  onEvent({ kind: 'snapshot-wanted', gap: gap.id, reason: gap.reason });
}

/**
 * Without event triggers, and where they could not, nobody else brings publications in line. `tended`: what they lacked
 * when this was last tried, and when.
 */
export function tend(
  { settings, names, onEvent }: CaptureRequest,
  tended: { what: string | undefined; at: number },
  { look, signal }: { readonly look: TableLook; readonly signal: AbortSignal },
): void {
  const what = outOfLine(look.tables, look.allTables);
  const now = performance.now();
  if (what === undefined || (tended.what === what && now - tended.at < TEND_AGAIN_MS)) return;
  Object.assign(tended, { what, at: now });
  tendPublications(settings, names, signal).then(
    ({ done, pending }) => {
      if (done.length + pending.length > 0) onEvent({ kind: 'publications-tended', done, pending });
      if (pending.length > 0) tended.at = now - TEND_AGAIN_MS + HELD_MS;
    },
    (error: unknown) => {
      if (!signal.aborted)
        onEvent({ kind: 'waiting', why: `publications are not in line: ${asFailure(error).message}` });
    },
  );
}
