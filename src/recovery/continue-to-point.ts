import type { Opener } from '../archive/age.ts';
import type { Manifest } from '../archive/manifest.ts';
import type { StreamDocument } from '../archive/stream-documents.ts';
import { readChanges } from '../catalog/read-changes.ts';
import type { Repository } from '../catalog/repository.ts';
import { StreamView } from '../catalog/stream-view.ts';
import { Failure } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import { asLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { applies } from '../model/xid.ts';
import type { ReplayTie } from '../model/xid.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { replay } from '../replay/replay.ts';
import type { SchemaChangesOptions } from '../replay/schema-changes/schema-changes.ts';
import type { ReplayReport } from '../replay/request.ts';
import { advanceSequences } from '../replay/sequences.ts';
import { openReplaySession } from '../replay/session.ts';
import type { StreamEncoding } from '../replay/session.ts';
import type { Continuation } from '../restore/request.ts';
import { transactionFacts, usedNumbers } from './outcome.ts';
import type { PointOutcome } from './outcome.ts';
import type { RecoveryPlan } from './plan-recovery.ts';
import { sampleBehind } from './sample-behind.ts';
import { ReplayedSchema } from './replayed-schema.ts';
import { HEARTBEAT_PREFIX, SequenceSamples } from './sequence-samples.ts';
import { formatRecoveryTarget } from './target.ts';

type PlannedReplay = NonNullable<RecoveryPlan['replay']>;

interface ContinueOptions {
  readonly source: string;
  /** Where the stream is. */
  readonly repository: Repository;
  readonly target: ConnectionSettings;
  readonly opener: Opener | undefined;
  /** Tables that come back. */
  readonly wanted: (relation: RelationName) => boolean;
  readonly onProgress: (progress: ReplayedSoFar) => void;
}

interface ReplayedSoFar {
  readonly readBytes: number;
  readonly totalBytes: number;
  /** Rows changed and truncates so far. */
  readonly changes: number;
}

/** What leads from the plan's snapshot to its point. */
export async function continueToPoint(
  plan: RecoveryPlan,
  planned: PlannedReplay,
  options: ContinueOptions & { readonly signal: AbortSignal },
): Promise<Continuation> {
  const { source, repository } = options;
  const at = { source, stream: planned.stream };
  const view = await StreamView.open(repository, at, options);
  const { document } = view;
  return {
    id: `${planned.stream} ${formatRecoveryTarget(plan.target)}${'exclusive' in plan.target && plan.target.exclusive ? ' exclusive' : ''}`,
    run: async ({ id, isFinished, signal, ...restore }) => {
      await using session = await openReplaySession(options.target, {
        settings: document.settings,
        encoding: encodingOf(document),
        signal,
      });
      if (isFinished && !session.mayBeReplica) throw triggersWouldFire();
      const count = new Counter(options, planned);
      const { stop, reach, base } = planned;
      const isWanted = wantedByOid(options.wanted, base.manifest);
      const tieOf = tiesOf(planned);
      const samples = new SequenceSamples();
      const changes = new ReplayedSchema({
        ...restore,
        session,
        tie: base.use.tie,
        isWanted,
        isShown: shownBy(planned, tieOf),
      });
      const report = await replay(session, {
        onMessage: (message, transaction) => {
          if (message.prefix === HEARTBEAT_PREFIX) samples.message(message.content, transaction.xid);
          changes.message(message, transaction);
        },
        ...changes.callbacks,
        id,
        records: readChanges(repository, at, {
          segments: planned.reading.segments,
          opener: options.opener,
          signal,
          onRun: (run) => {
            samples.run(run);
            changes.run(run);
          },
          onSegment: (one) => count.read(one.key),
        }),
        stop,
        reach: { position: reach.to, time: reach.latestCommitTime },
        tie: base.use.tie,
        tieOf: (relation) => (isWanted(relation) ? tieOf(relation) : undefined),
        signal,
        onProgress: ({ changes: applied }) => count.applied(applied),
      });
      const outcome: PointOutcome = {
        applied: report.changesInAll,
        ...(await changes.outcome()),
        ddl: planned.reading.ddl,
        lastApplied: transactionFacts(report.lastApplied),
        firstNotApplied: transactionFacts(report.firstNotApplied),
        ...(await sequencesAt(report, {
          view,
          samples,
          upper: base.use.upper,
          rowsUpTo: planned.replaced.map(({ snapshot }) => snapshot.use.upper),
          opener: options.opener,
          signal,
        })),
      };
      return JSON.stringify(outcome);
    },
    advanceSequences: async (connection, outcome) => {
      await advanceSequences(connection, usedNumbers(JSON.parse(outcome) as PointOutcome));
    },
  };
}

/** Which changes of a table its rows lack: those from a later snapshot lack fewer. */
function tiesOf({ base, replaced }: PlannedReplay): (relation: { readonly oid: number }) => ReplayTie {
  const ties = new Map(
    replaced.flatMap(({ snapshot, tables }) => tables.map((oid) => [oid, snapshot.use.tie] as const)),
  );
  return ({ oid }) => ties.get(oid) ?? base.use.tie;
}

/** Undefined where all rows come from one snapshot. */
function shownBy(
  { replaced }: PlannedReplay,
  tieOf: ReturnType<typeof tiesOf>,
): SchemaChangesOptions['isShown'] {
  if (replaced.length === 0) return undefined;
  const named = new Map(
    replaced.flatMap(({ snapshot, tables }) =>
      snapshot.manifest.tables
        .filter(({ oid }) => tables.includes(oid))
        .map((table) => [displayRelation(table), table] as const),
    ),
  );
  return (table, transaction) => {
    const known = 'oid' in table ? table : named.get(displayRelation(table));
    return known !== undefined && !applies(transaction, tieOf(known));
  };
}

/** A snapshot's sequences were read behind its `upper`: without a change since then, they are known. */
async function sequencesAt(
  { lastChanged }: ReplayReport,
  from: {
    readonly view: StreamView;
    readonly samples: SequenceSamples;
    readonly upper: Lsn;
    /** Of later snapshots that have given rows. */
    readonly rowsUpTo: readonly Lsn[];
    readonly opener: Opener | undefined;
    readonly signal: AbortSignal;
  },
): Promise<Pick<PointOutcome, 'sequences' | 'sequencesKnown'>> {
  const { samples, upper, rowsUpTo } = from;
  const last = [lastChanged?.commitLsn ?? asLsn(0n), ...rowsUpTo].reduce((a, b) => (a > b ? a : b));
  const isKnown = (): boolean => last < upper || last < (samples.knownAt ?? 0n);
  if (!isKnown()) await sampleBehind(from.view, last, from);
  return {
    sequences: [...samples.samples].map(([name, { least, most }]) => [name, least, most]),
    sequencesKnown: isKnown(),
  };
}

/** Progress by the stored bytes that were read. */
class Counter {
  readonly #options: ContinueOptions;
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #totalBytes: number;
  #readBytes = 0;
  #changes = 0;

  constructor(options: ContinueOptions, { reading }: PlannedReplay) {
    this.#options = options;
    this.#sizes = new Map(reading.segments.map((segment) => [segment.key, segment.sizeBytes]));
    this.#totalBytes = reading.segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  read(key: string): void {
    this.#readBytes += this.#sizes.get(key) ?? 0;
    this.#tell();
  }

  applied(changes: number): void {
    this.#changes += changes;
    this.#tell();
  }

  #tell(): void {
    this.#options.onProgress({
      readBytes: this.#readBytes,
      totalBytes: this.#totalBytes,
      changes: this.#changes,
    });
  }
}

/** A table of the snapshot by its OID, whatever it is called later; others by their names. */
function wantedByOid(
  wanted: ContinueOptions['wanted'],
  { tables }: Pick<Manifest, 'tables'>,
): (relation: RelationName & { readonly oid: number }) => boolean {
  const known = new Map(tables.map((table) => [table.oid, wanted(table)]));
  return (relation) => known.get(relation.oid) ?? wanted(relation);
}

function encodingOf({ server }: StreamDocument): StreamEncoding {
  return server.encoding === 'SQL_ASCII' ? 'SQL_ASCII' : 'UTF8';
}

function triggersWouldFire(): Failure {
  return new Failure(
    'recovery.refused',
    'triggers of the restored tables would fire while changes are applied',
    {
      remedy:
        'restore as a role that may set session_replication_role, or from a snapshot of engine copy, which makes triggers afterwards',
    },
  );
}
