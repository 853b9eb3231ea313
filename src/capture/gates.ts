import type { GapDocument, StreamDocument } from '../archive/stream-documents.ts';
import { Failure } from '../model/failure.ts';
import { formatLsn, parseLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import type { Publication } from '../postgres/publications.ts';
import type { SystemIdentity } from '../postgres/replication-stream.ts';
import { isSlotLost } from '../postgres/slot.ts';
import type { Slot } from '../postgres/slot.ts';

/** All that decides whether a stream may go on, read anew before every start (REPLICATION F). */
export interface GateFacts {
  /** As the walsender says that is about to stream. */
  readonly system: SystemIdentity;
  /** As an ordinary session of the same URL says. */
  readonly systemIdentifier: string;
  readonly inRecovery: boolean;
  readonly versionNumber: number;
  readonly databaseName: string;
  readonly sourceId: string | undefined;
  readonly synchronousNames: string;
  readonly slot: Slot | undefined;
  readonly publications: readonly Pick<Publication, 'name' | 'shape' | 'filtered'>[];
}

/** The stream that is to go on, and up to where it is stored. */
export interface Going {
  readonly stream: StreamDocument;
  readonly tidemark: Lsn;
}

export type Verdict =
  | { readonly kind: 'ok' }
  /** Somebody streams: a capture of ours, which this one stands by for. */
  | { readonly kind: 'wait'; readonly pid: number; readonly application: string | null }
  | { readonly kind: 'refuse'; readonly failure: Failure }
  /** The stream can't go on. `slotServes`: a new stream may begin where the slot stands. */
  | {
      readonly kind: 'gap';
      readonly reason: GapDocument['reason'];
      readonly why: string;
      readonly slotServes: boolean;
    };

const APPLICATION = 'tidemark capture';

/**
 * May capture stream now? Pure. What is unknown is a gap: never does a stream go on over something that may be
 * missing (P4). Without a stream (`going` undefined) only what stands in the way of any is looked at.
 */
export function judge(facts: GateFacts, going: Going | undefined): Verdict {
  const { slot, system } = facts;
  const obstacle = obstacleOf(facts);
  if (obstacle !== undefined) return { kind: 'refuse', failure: obstacle };
  if (slot !== undefined && slot.activePid !== null)
    return { kind: 'wait', pid: slot.activePid, application: slot.activeApplication };
  if (going === undefined) {
    const serves = slot !== undefined && isOurSlot(slot, facts.databaseName) && !isSlotLost(slot);
    return serves ? { kind: 'ok' } : missing();
  }
  const { server } = going.stream;
  if (server.systemIdentifier !== system.systemIdentifier || isOther(server.sourceId, facts.sourceId))
    return otherCluster(facts, going);
  if (major(server.version) !== major(facts.versionNumber))
    return gap('upgrade', 'the server is of another major version');
  const isPromoted = system.timeline !== server.timeline;
  if (slot === undefined)
    return isPromoted
      ? gap('failover', 'another server was promoted, which has no slot')
      : gap('slot-dropped', 'the slot is gone');
  if (!isOurSlot(slot, facts.databaseName)) return gap('slot-dropped', 'another slot holds the name');
  if (isSlotLost(slot))
    return gap('slot-lost', `the server gave the slot up (${slot.invalidationReason ?? 'WAL removed'})`);
  if (isPromoted) return gap('failover', `timeline ${system.timeline} instead of ${server.timeline}`);
  if (system.position < going.tidemark)
    return gap(
      'source-restored',
      `the server’s WAL ends at ${formatLsn(system.position)}, before what is stored already (${formatLsn(going.tidemark)})`,
    );
  return judgePublications(facts, going) ?? judgePosition(slot, going.tidemark);
}

/** Whether a walsender of ours would become a synchronous standby, for which every commit waits. */
export function isSynchronous(names: string, application: string): boolean {
  const listed = [...names.matchAll(/"((?:[^"]|"")*)"|[^\s,()]+/g)].map(
    ([word, quoted]) => quoted?.replaceAll('""', '"') ?? word,
  );
  return listed.some((name) => name === '*' || name.toLowerCase() === application.toLowerCase());
}

function obstacleOf(facts: GateFacts): Failure | undefined {
  const { system } = facts;
  if (facts.inRecovery)
    return new Failure('source.standby', 'the server is a standby: changes are captured on the primary', {
      remedy: 'give the primary’s URL',
    });
  if (system.systemIdentifier !== facts.systemIdentifier || system.database !== facts.databaseName)
    return new Failure(
      'source.pooler',
      'the URL leads replication to another server than ordinary sessions',
      {
        remedy: 'change capture needs the direct URL of the server (captureUrl in tidemark.yaml)',
      },
    );
  if (isSynchronous(facts.synchronousNames, APPLICATION))
    return new Failure(
      'source.synchronous',
      `synchronous_standby_names names “${facts.synchronousNames}”: every commit of the source would wait for us`,
    );
  return undefined;
}

function judgePosition(slot: Slot, tidemark: Lsn): Verdict {
  const confirmed = parseLsn(slot.confirmedFlushLsn ?? '');
  if (confirmed === undefined) return gap('slot-lost', 'the slot has no position');
  if (confirmed <= tidemark) return { kind: 'ok' };
  const why = `the slot stands at ${formatLsn(confirmed)}, beyond what is stored (${formatLsn(tidemark)}): somebody else has read from it`;
  return { kind: 'gap', reason: 'foreign-consumer', why, slotServes: true };
}

function judgePublications({ publications }: GateFacts, { stream }: Going): Verdict | undefined {
  for (const expected of stream.publications) {
    const found = publications.find((publication) => publication.name === expected.name);
    if (found === undefined) return gap('publication-changed', `publication ${expected.name} is gone`);
    if (found.shape !== expected.sha256)
      return gap('publication-changed', `publication ${expected.name} is another one than it was`);
    if (found.filtered)
      return gap('publication-changed', `publication ${expected.name} has got a row filter or a column list`);
  }
  return undefined;
}

/** Another cluster under the URL. Ours again only when somebody has set it up for this source and repository. */
function otherCluster(facts: GateFacts, { stream }: Going): Verdict {
  const sameId = stream.server.sourceId !== undefined && stream.server.sourceId === facts.sourceId;
  if (facts.slot === undefined && !sameId)
    return {
      kind: 'refuse',
      failure: new Failure('source.another', 'the URL leads to another database than the stream is of'),
    };
  const upgraded = major(stream.server.version) !== major(facts.versionNumber);
  const reason = !sameId ? 'another-source' : upgraded ? 'upgrade' : 'source-restored';
  return gap(reason, 'the server is another cluster than before');
}

function major(versionNumber: number): number {
  return Math.trunc(versionNumber / 10_000);
}

function isOther(expected: string | undefined, found: string | undefined): boolean {
  return expected !== undefined && found !== expected;
}

/** As far as anybody can tell: what a set-up of ours would have made. */
export function isOurSlot(slot: Slot, databaseName: string): boolean {
  return slot.plugin === 'pgoutput' && slot.database === databaseName && !slot.temporary;
}

function missing(): Verdict {
  return {
    kind: 'refuse',
    failure: new Failure('source.not_set_up', 'the source has no slot for this repository'),
  };
}

function gap(reason: GapDocument['reason'], why: string): Verdict {
  return { kind: 'gap', reason, why, slotServes: false };
}
