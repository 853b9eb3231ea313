import type { CaptureNames } from '../../model/capture-names.ts';
import { Failure, throwIfAborted } from '../../model/failure.ts';
import { connect } from '../../postgres/connection.ts';
import type { Connection } from '../../postgres/connection.ts';
import type { ConnectionSettings } from '../../postgres/connection-settings.ts';
import { probeReplication } from '../../postgres/replication-probe.ts';
import { probeSession } from '../../postgres/session-probe.ts';
import { awaitOldTransactions, createSlot, dropSlot, readSlot } from '../../postgres/slot.ts';
import type { Slot } from '../../postgres/slot.ts';
import { planSetUp } from './plan.ts';
import type { SetUpPlan } from './plan.ts';
import { blockers } from './preconditions.ts';
import { takeSetUpLock } from './set-up-lock.ts';
import { readSourceState } from './state.ts';
import type { SourceState } from './state.ts';
import type { Step } from './step.ts';

export interface SetUpRequest {
  readonly settings: ConnectionSettings;
  readonly names: CaptureNames;
  /** How long transactions that hold up the slot are waited for. */
  readonly patienceMs: number;
  readonly onNote: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface SetUpReport {
  /** What was done, in order; empty when all was there. */
  readonly done: readonly string[];
  /** What could not be done yet, because somebody holds a lock: run again. */
  readonly pending: readonly string[];
  readonly tables: SetUpPlan['tables'];
  readonly warnings: readonly string[];
  readonly allTables: boolean;
  readonly eventTriggers: boolean;
  readonly slot: Slot;
  readonly role: string;
  readonly server: string;
}

/** P7: nobody waits behind us for longer. */
const LOCK_TIMEOUT = '2s';
const SESSION = {
  statement_timeout: '0',
  lock_timeout: LOCK_TIMEOUT,
  search_path: 'pg_catalog',
  default_transaction_read_only: 'off',
};
/** Tables that others make meanwhile are added in a further round. */
const ROUNDS = 3;
const PASSING = new Set(['55P03', '40P01']);

/**
 * Installs what change capture needs on a source, or repairs it, under the advisory lock. Does nothing where all is as
 * it should be. Fails with the first of the blockers, before anything was done.
 */
export async function setUpSource(request: SetUpRequest): Promise<SetUpReport> {
  const { settings, names, signal } = request;
  await refusePooler(settings, signal);
  await using session = await openSetUpSession(settings, signal);
  await takeSetUpLock(session, signal);
  let state = await readSourceState(session, names);
  const [blocker] = blockers(state, names);
  if (blocker !== undefined) throw blocker;
  await probeReplication(settings, { systemIdentifier: state.facts.systemIdentifier, signal });
  let plan = planSetUp(state, names);
  const warnings = new Set(plan.warnings);
  const done: string[] = [];
  let pending: string[] = [];
  for (let round = 1; plan.steps.length > 0 && round <= ROUNDS; round += 1) {
    pending = await runSteps(session, { plan, state, request, done });
    state = await readSourceState(session, names);
    plan = planSetUp(state, names);
  }
  const slot = await readSlot(session, names.slot);
  if (slot === undefined) throw new Failure('source.error', `slot ${names.slot} is gone again`);
  return {
    done,
    pending,
    tables: plan.tables,
    warnings: [...new Set([...warnings, ...plan.warnings])],
    allTables: state.publications.some((found) => found.name === names.rows && found.allTables),
    eventTriggers: state.server.eventTriggers.length === 3,
    slot,
    role: state.server.role,
    server: state.facts.versionText,
  };
}

/** Before the lock is taken: in a pooler's session it would stay with a backend that others get. */
async function refusePooler(settings: ConnectionSettings, signal: AbortSignal): Promise<void> {
  try {
    await probeSession(settings, { side: 'source', signal });
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'source.pooler') throw error;
    throw new Failure(error.code, error.message, {
      facts: error.facts,
      cause: error,
      remedy:
        'change capture needs the direct URL of the server (captureUrl in tidemark.yaml); Supabase: db.<project>.supabase.co port 5432',
    });
  }
}

export function openSetUpSession(settings: ConnectionSettings, signal: AbortSignal): Promise<Connection> {
  return connect(settings, { side: 'source', job: 'init', signal, session: SESSION });
}

interface Run {
  readonly plan: SetUpPlan;
  readonly state: SourceState;
  readonly request: SetUpRequest;
  readonly done: string[];
}

async function runSteps(session: Connection, { plan, state, request, done }: Run): Promise<string[]> {
  const { names, signal } = request;
  const of = (kind: Step['kind']): Step[] => plan.steps.filter((step) => step.kind === kind);
  const pending: string[] = [];
  for (const step of of('slot-drop')) {
    await dropSlot(session, names.slot);
    done.push(step.title);
  }
  await runTogether(session, of('object'));
  done.push(...of('object').map((step) => step.title));
  for (const step of of('table')) {
    throwIfAborted(signal);
    const problem = await runAlone(session, step);
    if (problem === undefined) done.push(step.title);
    else pending.push(`${step.title}: ${problem}`);
  }
  for (const step of of('slot')) {
    await makeSlot(session, state, request);
    done.push(step.title);
  }
  return pending;
}

/** All or nothing: a half-made set of functions and triggers would be in the application's way. */
export async function runTogether(session: Connection, steps: readonly Step[]): Promise<void> {
  if (steps.length === 0) return;
  await session.execute('BEGIN');
  try {
    for (const step of steps) await session.execute(step.sql);
  } catch (error) {
    await session.execute('ROLLBACK');
    throw error;
  }
  await session.commit();
}

/** One table at a time, so that no lock is held while another is waited for. What stands in the way only now, in words. */
export async function runAlone(session: Connection, step: Step): Promise<string | undefined> {
  try {
    await session.execute(step.sql);
    return undefined;
  } catch (error) {
    if (error instanceof Failure && PASSING.has(String(error.facts['sqlstate'])))
      return 'another session holds a lock';
    // Dropped or renamed since the list was read: the next round sees it.
    if (error instanceof Failure && /^42(P01|704|710)$/.test(String(error.facts['sqlstate'])))
      return 'it has changed meanwhile';
    throw error;
  }
}

async function makeSlot(session: Connection, state: SourceState, request: SetUpRequest): Promise<void> {
  const { names, patienceMs, onNote, signal } = request;
  await awaitOldTransactions(session, {
    timeoutMs: patienceMs,
    onWait: (oldest) => onNote(`waiting to make the slot: ${oldest}`),
    signal,
  });
  const failover = state.facts.versionNumber >= 170_000;
  await createSlot(session, { name: names.slot, failover, timeoutMs: patienceMs });
}
