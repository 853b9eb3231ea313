import { planSetUp } from '../capture/set-up/plan.ts';
import { blockers } from '../capture/set-up/preconditions.ts';
import { readSourceState } from '../capture/set-up/state.ts';
import type { SourceState } from '../capture/set-up/state.ts';
import type { CaptureNames } from '../model/capture-names.ts';
import { asFailure } from '../model/failure.ts';
import type { Finding } from '../model/finding.ts';
import { connect } from '../postgres/connection.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { probeReplication } from '../postgres/replication-probe.ts';
import { ofFailure } from './check-source.ts';

interface CaptureChecks {
  readonly settings: ConnectionSettings;
  readonly names: CaptureNames;
  readonly signal: AbortSignal;
}

/**
 * What stands between a source and change capture. Where capture was never set up this is for information: snapshots
 * need none of it. Tries what the role may do in a transaction that is rolled back; changes nothing.
 */
export async function checkCapture(checks: CaptureChecks): Promise<Finding[]> {
  try {
    await using session = await connect(checks.settings, {
      side: 'source',
      job: 'doctor',
      signal: checks.signal,
    });
    const state = await readSourceState(session, checks.names);
    const findings = captureFindings(state, checks.names);
    if (!isSetUp(state)) return findings;
    return [...findings, await replicationFinding(checks, state.facts.systemIdentifier)];
  } catch (error) {
    return [ofFailure('capture', asFailure(error))];
  }
}

/** Pure. */
export function captureFindings(state: SourceState, names: CaptureNames): Finding[] {
  const found = blockers(state, names);
  const setUp = isSetUp(state);
  if (!setUp && found.length > 0) {
    return found.map((failure) => ({
      level: 'info',
      check: 'capture',
      message: `not set up, and could not be: ${failure.message}`,
      remedy: failure.remedy,
    }));
  }
  const plan = planSetUp(state, names);
  if (!setUp) {
    const message = 'not set up: snapshots alone protect this source';
    return [{ level: 'info', check: 'capture', message, remedy: '`tidemark init --capture`' }];
  }
  const { whole, insertOnly, notCaptured } = plan.tables;
  return [
    ...found.map((failure) => ofFailure('capture', failure)),
    plan.steps.length === 0
      ? { level: 'ok', check: 'capture', message: `set up: every change of ${whole} tables` }
      : {
          level: 'warning',
          check: 'capture.drift',
          message: `${plan.steps.length} thing(s) missing or changed: ${plan.steps
            .slice(0, 3)
            .map((step) => step.title)
            .join('; ')}`,
          remedy: '`tidemark init --capture` repairs it',
        },
    ...(insertOnly.length + notCaptured.length === 0
      ? []
      : [
          {
            level: 'info' as const,
            check: 'capture.coverage',
            message: `inserts only: ${insertOnly.length} table(s); not captured: ${notCaptured.length}`,
          },
        ]),
    ...plan.warnings.map((message): Finding => ({ level: 'warning', check: 'capture.source', message })),
  ];
}

function isSetUp({ slot, publications }: SourceState): boolean {
  return slot !== undefined || publications.length > 0;
}

async function replicationFinding(checks: CaptureChecks, systemIdentifier: string): Promise<Finding> {
  try {
    await probeReplication(checks.settings, { systemIdentifier, signal: checks.signal });
    return { level: 'ok', check: 'capture.connection', message: 'the server streams changes to this role' };
  } catch (error) {
    return ofFailure('capture.connection', asFailure(error));
  }
}
