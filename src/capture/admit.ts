import type { GapDocument, StreamDocument } from '../archive/stream-documents.ts';
import { Failure } from '../model/failure.ts';
import { parseLsn } from '../model/lsn.ts';
import type { Connection } from '../postgres/connection.ts';
import type { SystemIdentity } from '../postgres/replication-stream.ts';
import { beginStream, currentStream } from './current-stream.ts';
import type { CurrentStream } from './current-stream.ts';
import { judge } from './gates.ts';
import { overlapOf } from './overlap.ts';
import type { Overlap } from './overlap.ts';
import type { Verdict } from './gates.ts';
import { readGateFacts } from './read-gate-facts.ts';
import type { SourceFacts } from './read-gate-facts.ts';
import type { CaptureRequest } from './request.ts';

type Closed = Exclude<Verdict, { kind: 'ok' }>;

export interface Admitted {
  readonly kind: 'admitted';
  readonly current: CurrentStream;
  readonly facts: SourceFacts;
  readonly overlap: Overlap | undefined;
}

export type NotAdmitted =
  | { readonly kind: 'closed'; readonly verdict: Closed; readonly current: CurrentStream | undefined }
  /** The last stream has ended, and nothing was done yet so that another may begin. */
  | { readonly kind: 'unbridged'; readonly gap: GapDocument };

/**
 * The gates (REPLICATION F), on facts that are read now. The repository is read behind the slot: another capture may
 * have stored more until it left. Begins a stream where there is none that goes on.
 */
export async function admit(
  request: CaptureRequest,
  at: {
    readonly session: Connection;
    readonly system: SystemIdentity;
    readonly settings: Readonly<Record<string, string>>;
    readonly bridged: ReadonlySet<string>;
    readonly signal: AbortSignal;
  },
): Promise<Admitted | NotAdmitted> {
  const { names, repository, source } = request;
  const where = { repository, source, slot: names.slot };
  const facts = await readGateFacts(at.session, names, at.system);
  const early = judge(facts, undefined);
  // Who streams may be storing right now: what is in the repository is looked at when nobody does.
  if (early.kind === 'wait') return { kind: 'closed', verdict: early, current: undefined };
  const found = await currentStream(where, at);
  if (found !== undefined && 'endedBy' in found) {
    const gap = found.endedBy;
    const obstacle = early.kind === 'refuse' && early.failure.code !== 'source.not_set_up';
    if (!obstacle && !at.bridged.has(gap.id)) return { kind: 'unbridged', gap };
  }
  const going = found !== undefined && 'view' in found ? found : undefined;
  const verdict = judge(facts, going && { stream: going.view.document, tidemark: going.tip.to });
  if (verdict.kind !== 'ok') return { kind: 'closed', verdict, current: going };
  const current = going ?? (await begin(request, facts, at));
  const confirmed = facts.slot?.confirmedFlushLsn ?? null;
  const overlap = await overlapOf(current.view, { confirmed, tidemark: current.tip.to });
  return { kind: 'admitted', current, facts, overlap };
}

async function begin(
  request: CaptureRequest,
  facts: SourceFacts,
  at: { readonly settings: Readonly<Record<string, string>>; readonly signal: AbortSignal },
): Promise<CurrentStream> {
  const { names, repository, source } = request;
  const where = { repository, source, slot: names.slot };
  const start = parseLsn(facts.slot?.confirmedFlushLsn ?? '');
  if (start === undefined) throw new Failure('source.not_set_up', `slot ${names.slot} has no position`);
  await beginStream(
    where,
    {
      start,
      clock: new Date(facts.server.clock),
      createdBy: request.program,
      publications: facts.publications.map(({ name, shape }) => ({ name, sha256: shape })),
      server: serverOf(facts),
      settings: at.settings,
    },
    at,
  );
  const begun = await currentStream(where, at);
  if (begun === undefined || !('view' in begun))
    throw new Failure('internal', 'the stream that was just begun is not there');
  return begun;
}

function serverOf({ server, system, sourceId }: SourceFacts): StreamDocument['server'] {
  return {
    version: server.versionNumber,
    systemIdentifier: system.systemIdentifier,
    timeline: system.timeline,
    databaseOid: Number(server.databaseOid),
    databaseName: server.databaseName,
    ...(sourceId !== undefined && { sourceId }),
    encoding: server.encoding,
  };
}
