import type { CaptureNames } from '../../model/capture-names.ts';
import { Failure, throwIfAborted } from '../../model/failure.ts';
import { readCaptureServer } from '../../postgres/capture-probe.ts';
import type { CaptureServer } from '../../postgres/capture-probe.ts';
import type { Connection } from '../../postgres/connection.ts';
import { readPublications } from '../../postgres/publications.ts';
import { dropSlot, readSlot } from '../../postgres/slot.ts';
import type { Slot } from '../../postgres/slot.ts';
import { sourceSql } from '../../postgres/source-sql.ts';
import { renderSql } from './print-set-up.ts';
import { takeSetUpLock } from './set-up-lock.ts';
import { openSetUpSession, runTogether } from './set-up-source.ts';
import type { SetUpRequest } from './set-up-source.ts';
import type { Step } from './step.ts';

interface Installed {
  readonly server: CaptureServer;
  readonly publications: readonly string[];
  readonly slot: Slot | undefined;
}

export interface RemovalPlan {
  readonly steps: readonly Step[];
  /** What stays, and whom it serves. */
  readonly kept: readonly string[];
}

export interface RemovalReport {
  readonly done: readonly string[];
  readonly kept: readonly string[];
}

/** How long a walsender of ours may take to end; `tidemark capture` comes back for its slot until then. */
const WALSENDER_MS = 10_000;

/**
 * What goes, in order: the slot first, since it can't be decoded without its publications. What another repository or
 * another source of this database uses stays.
 */
export function planRemoval(found: Installed, names: CaptureNames): RemovalPlan {
  const { server, slot, publications } = found;
  const prefix = names.slot.slice(0, -6);
  const sharing = server.slots.filter(
    (name) => name !== names.slot && name.startsWith(prefix) && name.length === names.slot.length,
  );
  const steps: Step[] = [];
  const kept: string[] = [];
  const object = (title: string, file: string, variables: Record<string, string> = {}): void => {
    steps.push({ kind: 'object', title, sql: sourceSql(file, variables) });
  };
  if (slot !== undefined) {
    const sql = sourceSql('slot-drop', { slot: names.slot });
    steps.push({ kind: 'slot-drop', title: `slot ${names.slot}`, sql });
  }
  if (sharing.length > 0)
    return { steps, kept: [`publications and schema tidemark: slot ${sharing.join(', ')} needs them`] };
  const others = server.otherPublications;
  if (others.length > 0)
    kept.push(`schema tidemark and event triggers: publication ${others.join(', ')} needs them`);
  else if (server.eventTriggers.length > 0) object('event triggers', 'remove-event-triggers');
  for (const publication of publications)
    object(`publication ${publication}`, 'remove-publication', { publication });
  if (others.length === 0 && server.schema) object('schema tidemark', 'remove-schema');
  return { steps, kept };
}

/** Removes from the source all that `setUpSource` made. Fails with `source.slot_in_use` when a stranger streams. */
export async function removeSource(
  request: Pick<SetUpRequest, 'settings' | 'names' | 'signal'>,
): Promise<RemovalReport> {
  const { names, signal } = request;
  await using session = await openSetUpSession(request.settings, signal);
  await takeSetUpLock(session, signal);
  const found = await readInstalled(session, names);
  const { steps, kept } = planRemoval(found, names);
  if (found.slot !== undefined) await endStream(session, found.slot, signal);
  await runTogether(
    session,
    steps.filter((step) => step.kind === 'object'),
  );
  return { done: steps.map((step) => step.title), kept };
}

/** The same as SQL for a DBA. Reads only. */
export async function printRemoval(
  request: Pick<SetUpRequest, 'settings' | 'names' | 'signal'>,
): Promise<{ readonly sql: string; readonly steps: readonly Step[] }> {
  await using session = await openSetUpSession(request.settings, request.signal);
  const found = await readInstalled(session, request.names);
  const { steps } = planRemoval(found, request.names);
  return { sql: renderSql(steps, found.server.role), steps };
}

async function readInstalled(session: Connection, names: CaptureNames): Promise<Installed> {
  const publications = await readPublications(session, [names.rows, names.changes]);
  return {
    server: await readCaptureServer(session, names),
    publications: publications.map((publication) => publication.name),
    slot: await readSlot(session, names.slot),
  };
}

/** Ends our own walsender and drops the slot, again until it is gone: capture may have come back in between. */
async function endStream(session: Connection, first: Slot, signal: AbortSignal): Promise<void> {
  const started = performance.now();
  for (let slot: Slot | undefined = first; slot !== undefined; slot = await readSlot(session, first.name)) {
    throwIfAborted(signal);
    if (slot.activePid !== null) await endWalsender(session, slot);
    try {
      await dropSlot(session, first.name);
      return;
    } catch (error) {
      const busy = error instanceof Failure && error.code === 'source.slot_in_use';
      if (!busy || performance.now() - started > WALSENDER_MS) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function endWalsender(session: Connection, slot: Slot): Promise<void> {
  if (slot.activeApplication?.startsWith('tidemark ') !== true) {
    const who = slot.activeApplication ?? 'another role';
    throw new Failure(
      'source.slot_in_use',
      `pid ${slot.activePid} (${JSON.stringify(who)}) streams from slot ${slot.name}, and is not tidemark’s`,
      { facts: { slot: slot.name, pid: slot.activePid ?? undefined } },
    );
  }
  await session.query('SELECT pg_terminate_backend($1)', [slot.activePid]);
}
