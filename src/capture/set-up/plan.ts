import { createHash } from 'node:crypto';
import type { CaptureNames } from '../../model/capture-names.ts';
import { isSlotLost } from '../../postgres/slot.ts';
import { sourceSql } from '../../postgres/source-sql.ts';
import type { TableDecisions } from './decide-tables.ts';
import { planPublications } from './plan-publications.ts';
import type { Step } from './step.ts';
import type { SourceState } from './state.ts';

export interface SetUpPlan {
  readonly steps: readonly Step[];
  readonly tables: TableDecisions;
  /** What somebody should know, though nothing can be done about it here. */
  readonly warnings: readonly string[];
}

const EVENTS = {
  tidemark_ddl: { event: 'ddl_command_end', function: 'on_ddl' },
  tidemark_drop: { event: 'sql_drop', function: 'on_drop' },
  tidemark_rewrite: { event: 'table_rewrite', function: 'on_rewrite' },
} as const;
const FAILOVER_SINCE = 170_000;
const COMMENT = 'Tidemark: change capture';

/**
 * The least that has to be done until changes can be captured, in order: objects, publications, event triggers, tables,
 * slot. Empty when all is as it should be. Pure: what the role may do is part of the state.
 */
export function planSetUp(state: SourceState, names: CaptureNames): SetUpPlan {
  const { slot } = state;
  const publications = planPublications(state, names);
  const broken = slot !== undefined && (isSlotLost(slot) || publications.missing > 0) ? slot : undefined;
  const steps: Step[] = [
    ...(broken === undefined ? [] : [slotDropStep(names)]),
    ...schemaSteps(state),
    ...publications.steps.filter((step) => step.kind === 'object'),
    ...triggerSteps(state),
    ...publications.steps.filter((step) => step.kind === 'table'),
    ...(slot === undefined || broken !== undefined ? [slotStep(state, names)] : []),
  ];
  const gap = `slot ${names.slot} could not be decoded any more and is made anew: the change stream has a gap there`;
  const warnings = [
    ...(broken === undefined ? [] : [gap]),
    ...publications.warnings,
    ...standingWarnings(state),
  ];
  return { steps, tables: publications.tables, warnings };
}

function schemaSteps({ server, abilities }: SourceState): Step[] {
  const functions = `${sourceSql('describe', { schema: 'tidemark' })}\n${sourceSql('functions')}`;
  const full = `${COMMENT}, ${createHash('sha256').update(functions).digest('hex').slice(0, 12)}`;
  const wanted = abilities.eventTrigger ? full : (server.code ?? COMMENT);
  if (!ownsSchema(server) || server.code === wanted) return [];
  const object = (title: string, sql: string): Step => ({ kind: 'object', title, sql });
  return [
    object('schema tidemark with a source id', sourceSql('schema')),
    ...(abilities.eventTrigger
      ? [
          object('secret of the digest on schema changes', sourceSql('secret')),
          object('functions of the event triggers', functions),
        ]
      : []),
    object('comment on schema tidemark', sourceSql('code-version', { comment: wanted })),
  ];
}

function triggerSteps({ server, abilities }: SourceState): Step[] {
  if (!abilities.eventTrigger || !ownsSchema(server)) return [];
  return Object.entries(EVENTS)
    .filter(([trigger]) => !server.eventTriggers.includes(trigger))
    .map(([trigger, what]) => ({
      kind: 'object',
      title: `event trigger ${trigger}`,
      sql: sourceSql('event-trigger', { trigger, ...what }),
    }));
}

/** What a DBA has put there is the DBA's to change. */
function ownsSchema(server: SourceState['server']): boolean {
  return !server.schema || server.schemaOwned;
}

function slotDropStep({ slot }: CaptureNames): Step {
  const title = `slot ${slot}, which can’t be decoded any more, dropped`;
  return { kind: 'slot-drop', title, sql: sourceSql('slot-drop', { slot }) };
}

function slotStep({ facts }: SourceState, { slot }: CaptureNames): Step {
  const failover = facts.versionNumber >= FAILOVER_SINCE;
  return {
    kind: 'slot',
    title: `slot ${slot}${failover ? ', kept over a failover by standbys that synchronise slots' : ''}`,
    sql: sourceSql(failover ? 'slot-failover' : 'slot', { slot }),
  };
}

function standingWarnings({ abilities, server }: SourceState): string[] {
  return [
    ...(server.keepMegabytes === '-1'
      ? [
          'max_slot_wal_keep_size is -1: the server would keep WAL for the slot until its disk is full; set a limit',
        ]
      : []),
    ...(abilities.eventTrigger || server.eventTriggers.length > 0
      ? []
      : [
          'this role may not make event triggers: schema changes are noticed by comparison, a little later; before a published table loses its key, take it out of the publication, or its updates fail until then',
        ]),
  ];
}
