import { availableParallelism } from 'node:os';
import type { DrillDocument, Proof } from '../archive/drill-document.ts';
import { FORMAT_VERSION } from '../archive/manifest.ts';
import type { WitnessDocument } from '../archive/witness-document.ts';
import { publishDrill, readDrills } from '../catalog/drills.ts';
import { newId, randomCharacters } from '../catalog/ids.ts';
import { openRepository } from '../catalog/repository.ts';
import type { Repository } from '../catalog/repository.ts';
import { listWitnesses, readWitness } from '../catalog/witnesses.ts';
import { lookAtDatabase } from '../drill/look-at-database.ts';
import type { RequiredTable } from '../drill/look-at-database.ts';
import { pickRandomPoint } from '../drill/pick-point.ts';
import { verdictOf } from '../drill/verdict.ts';
import { parseCommitTime } from '../model/commit-time.ts';
import { Failure, asFailure } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import { formatCount, parseDuration } from '../model/quantities.ts';
import { connect } from '../postgres/connection.ts';
import type { Connection } from '../postgres/connection.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { parseRecoveryTarget } from '../recovery/target.ts';
import type { RestoreEvent } from '../restore/request.ts';
import { openDrillServer } from './drill-server.ts';
import type { DrillServer } from './drill-server.ts';
import { listJob, showJob, withRepository } from './list-job.ts';
import type { Listing } from './list-job.ts';
import { PROGRAM } from './program.ts';
import { restoreJob } from './restore-job.ts';
import type { PointReport } from './restore-job.ts';
import type { Settings } from './settings.ts';
import { compareWithWitness } from './witness-job.ts';

const RTO_MS = 4 * 3_600_000;
const RPO_MS = 3_600_000;

interface DrillJobOptions {
  /** `latest`, `random`, `witness`, or a recovery target. */
  readonly at: string;
  /** `local`, or a URL; undefined: as configured. */
  readonly server: string | undefined;
  readonly major: number | undefined;
}

export type DrillEvent =
  | { readonly kind: 'point'; readonly target: string }
  | { readonly kind: 'server'; readonly major: number }
  | { readonly kind: 'restore'; readonly event: RestoreEvent }
  | { readonly kind: 'proving' };

interface JobRun extends DrillJobOptions {
  readonly signal: AbortSignal;
  readonly onEvent: (event: DrillEvent) => void;
}

/**
 * Restores a point into a throw-away server, looks at what came back, stores the report and takes everything down again.
 * What keeps a drill from running at all fails; a restore that fails is a drill that failed, and is reported.
 */
export async function drillJob(settings: Settings, run: JobRun): Promise<DrillDocument> {
  const { signal } = run;
  const startedAt = new Date();
  const listing = await listJob(settings, { allSources: false, signal });
  const signing = await settings.signing();
  const sealer = settings.sealer();
  const witness = await witnessed(settings, run, listing);
  const target = targetOf(run.at, { listing, witness });
  // A typo is no drill that failed.
  parseRecoveryTarget(target);
  run.onEvent({ kind: 'point', target });
  const { server: sourceServer } = await showJob(settings, { target: 'latest', signal });
  const clock = new PhaseClock();
  clock.begin('server');
  await using server = await openDrillServer(settings, {
    server: run.server ?? settings.config.drill?.server ?? 'local',
    major: run.major ?? Math.trunc(sourceServer.version / 10_000),
    exactly: run.major !== undefined,
    signal,
  });
  run.onEvent({ kind: 'server', major: server.major });
  const shown = await restoreAndLook(settings, { ...run, target, server, clock });
  const facts: Omit<DrillDocument, 'verdict'> = {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-drill',
    id: newId(startedAt),
    source: settings.sourceName,
    repositoryId: shown.repositoryId,
    createdBy: PROGRAM,
    startedAt: startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    point: { asked: run.at, target },
    server: { kind: server.kind, major: server.major },
    phases: clock.end(),
    ...restoredFacts(shown.report),
    proofs: [...shown.proofs],
    ...(shown.rtoMilliseconds !== undefined && { rtoMilliseconds: shown.rtoMilliseconds }),
    ...rpoOf(listing, startedAt),
    objectives: objectivesOf(settings),
    ...(shown.failure !== undefined && {
      failure: { code: shown.failure.code, message: shown.failure.message },
    }),
  };
  const drill = { ...facts, verdict: verdictOf(facts) };
  const store = await settings.store();
  try {
    const repository = await openRepository(store, { ...signing, signal });
    await publishDrill(repository, drill, { sealer, signal });
  } finally {
    await store.close();
  }
  return drill;
}

/** What drills have shown, oldest first. */
export function listDrillsJob(settings: Settings, signal: AbortSignal): Promise<DrillDocument[]> {
  return withRepository(settings, signal, async (repository) =>
    readDrills(repository, { source: settings.sourceName, opener: await settings.opener(), signal }),
  );
}

interface Shown {
  readonly repositoryId: string;
  readonly report: PointReport | undefined;
  readonly proofs: readonly Proof[];
  readonly rtoMilliseconds: number | undefined;
  readonly failure: Failure | undefined;
}

async function restoreAndLook(
  settings: Settings,
  run: Omit<JobRun, 'server'> & {
    readonly target: string;
    readonly server: DrillServer;
    readonly clock: PhaseClock;
  },
): Promise<Shown> {
  const { signal, clock } = run;
  // Dropped afterwards: never a name that somebody else may have given.
  const database = run.server.at(`tidemark_drill_${randomCharacters(12)}`);
  return withRepository(settings, signal, async (repository): Promise<Shown> => {
    const { repositoryId } = repository.document;
    try {
      clock.begin('plan');
      const report = await restoreJob(settings, {
        ...EVERYTHING,
        target: database,
        to: run.target,
        jobs: Math.max(2, availableParallelism()),
        signal,
        onEvent: (event) => {
          if (event.kind === 'phase') clock.begin(event.phase);
          run.onEvent({ kind: 'restore', event });
        },
      });
      const rtoMilliseconds = clock.elapsed;
      run.onEvent({ kind: 'proving' });
      clock.begin('proofs');
      const ours = run.server.kind === 'local';
      const proofs = await proofsOf(settings, { repository, database, report, ours, signal });
      return { repositoryId, report, proofs, rtoMilliseconds, failure: undefined };
    } catch (error) {
      const failure = asFailure(error);
      if (signal.aborted) throw failure;
      return { repositoryId, report: undefined, proofs: [], rtoMilliseconds: undefined, failure };
    }
  });
}

const EVERYTHING = {
  create: true,
  globals: true,
  clean: false,
  table: [],
  schema: [],
  schemaOnly: false,
  dataOnly: false,
  owner: true,
  privileges: true,
} as const;

async function proofsOf(
  settings: Settings,
  what: {
    readonly repository: Repository;
    readonly database: ConnectionSettings;
    readonly report: PointReport;
    /** A server of our own, where an extension may be made. */
    readonly ours: boolean;
    readonly signal: AbortSignal;
  },
): Promise<Proof[]> {
  const { repository, database, report, ours, signal } = what;
  const { checks = [], tables = {} } = settings.config.drill ?? {};
  await using connection = await connect(database, { side: 'target', job: 'drill', signal });
  const content = await witnessProofs(settings, { repository, database, report, signal });
  if (ours) await makeAmcheck(connection);
  return [
    restoreProof(report),
    ...brokenKeyProofs(report),
    ...content,
    ...(await lookAtDatabase(connection, { checks, tables: requiredTables(tables) })),
  ];
}

/** Where the server has it. */
async function makeAmcheck(connection: Connection): Promise<void> {
  const [found] = await connection.query("SELECT FROM pg_available_extensions WHERE name = 'amcheck'");
  if (found !== undefined) await connection.execute('CREATE EXTENSION IF NOT EXISTS amcheck');
}

function restoreProof({ changes, tables }: PointReport): Proof {
  const proof = { kind: 'restore', name: 'rows' } as const;
  if (tables === 0) return { ...proof, outcome: 'skipped', detail: 'there was no table' };
  if (changes === undefined)
    return { ...proof, outcome: 'proved', detail: 'every table has as many rows as the snapshot' };
  const { applied, schemaChanges } = changes;
  const { notApplied, inferred } = schemaChanges;
  const missing = notApplied.length + inferred.length;
  return missing > 0
    ? {
        ...proof,
        outcome: 'skipped',
        detail: `${formatCount(missing)} schema changes were not applied, or were inferred from the rows alone`,
      }
    : { ...proof, outcome: 'proved', detail: `each of ${formatCount(applied)} changes found its row` };
}

/** What a restore found: rows that lack what they reference. */
function brokenKeyProofs({ brokenKeys }: PointReport): Proof[] {
  return brokenKeys.map(({ table, constraint, rows }) => ({
    kind: 'foreign-keys',
    name: `${table}: ${constraint}`,
    outcome: 'disproved',
    detail:
      rows === undefined
        ? 'it could not be made'
        : `${formatCount(BigInt(rows))} rows lack what they reference`,
  }));
}

/** A witness of the very instant that came back: the snapshot's own. */
async function witnessProofs(
  settings: Settings,
  what: {
    readonly repository: Repository;
    readonly database: ConnectionSettings;
    readonly report: PointReport;
    readonly signal: AbortSignal;
  },
): Promise<Proof[]> {
  const { repository, report, signal } = what;
  const skipped = (detail: string): Proof[] => [
    { kind: 'witness', name: 'content', outcome: 'skipped', detail },
  ];
  if (report.changes !== undefined) return skipped('no witness speaks for a point between snapshots');
  const source = settings.sourceName;
  const ids = await listWitnesses(repository, { source, signal });
  if (!ids.includes(report.snapshot)) return skipped('the snapshot has no witness: take it with --witness');
  const witness = await readWitness(repository, { source, id: report.snapshot }, { signal });
  const opener = await settings.opener();
  const jobs = Math.max(2, availableParallelism());
  const verdicts = await compareWithWitness(repository, witness, {
    ...what,
    target: what.database,
    opener,
    jobs,
  });
  const bad = verdicts.filter(({ verdict }) => verdict !== 'same');
  if (bad.length > 0)
    return bad.map((table) => ({
      kind: 'witness',
      name: displayRelation(table),
      outcome: 'disproved',
      detail: table.verdict === 'missing' ? 'it is not there' : `other ${table.verdict} than the source had`,
    }));
  const rows = witness.tables.reduce((sum, table) => sum + BigInt(table.rows), 0n);
  const left =
    witness.left.length === 0 ? '' : `; ${formatCount(witness.left.length)} tables were not digested`;
  return [
    {
      kind: 'witness',
      name: 'content',
      outcome: witness.left.length === 0 ? 'proved' : 'skipped',
      detail: `${formatCount(verdicts.length)} tables, ${formatCount(rows)} rows, as the source had them at ${witness.instant}${left}`,
    },
  ];
}

function requiredTables(tables: Readonly<Record<string, number>>): RequiredTable[] {
  return Object.entries(tables).map(([text, rows]) => {
    const [schema = '', name = ''] = text.split('.');
    return { schema, name, rows: BigInt(rows) };
  });
}

/** The newest witness of a snapshot that is still there, when a drill is to be held at one. */
async function witnessed(
  settings: Settings,
  run: JobRun,
  listing: Listing,
): Promise<WitnessDocument | undefined> {
  if (run.at !== 'witness') return undefined;
  return withRepository(settings, run.signal, async (repository) => {
    const at = { source: settings.sourceName, signal: run.signal };
    for (const id of (await listWitnesses(repository, at)).reverse()) {
      const witness = await readWitness(repository, { source: settings.sourceName, id }, at);
      if (listing.snapshots.some((snapshot) => snapshot.id === witness.snapshot)) return witness;
    }
    throw new Failure('recovery.no_point', 'no snapshot has a witness', {
      remedy: 'take one with tidemark snapshot --witness',
    });
  });
}

function targetOf(
  at: string,
  facts: { readonly listing: Listing; readonly witness: WitnessDocument | undefined },
): string {
  if (facts.witness?.snapshot !== undefined) return `snapshot:${facts.witness.snapshot}`;
  if (at !== 'random') return at;
  const { windows, snapshots } = facts.listing;
  return pickRandomPoint(
    {
      windows: windows.flatMap(({ fromTime, toTime }) => {
        const [from, to] = [parseCommitTime(fromTime ?? ''), parseCommitTime(toTime ?? '')];
        return from === undefined || to === undefined ? [] : [{ from, to }];
      }),
      snapshots: snapshots.filter(({ scope }) => scope === 'whole').map(({ id }) => id),
    },
    Math.random(),
  );
}

function restoredFacts(report: PointReport | undefined): Pick<DrillDocument, 'snapshot' | 'restored'> {
  if (report === undefined) return {};
  const { tables, rows, copyBytes, changes } = report;
  return {
    snapshot: report.snapshot,
    restored: { tables, rows: rows.toString(), bytes: copyBytes, changes: changes?.applied ?? 0 },
  };
}

/** How far the newest instant that can be restored lay behind. */
function rpoOf({ windows, snapshots }: Listing, now: Date): Pick<DrillDocument, 'rpoMilliseconds'> {
  const instants = [
    ...windows.flatMap(({ toTime }) => toTime ?? []),
    ...snapshots.map(({ instant }) => instant),
  ]
    .map((text) => Date.parse(text))
    .filter((instant) => !Number.isNaN(instant));
  if (instants.length === 0) return {};
  return { rpoMilliseconds: Math.max(0, now.getTime() - Math.max(...instants)) };
}

function objectivesOf({ config }: Settings): DrillDocument['objectives'] {
  const { rto, rpo } = config.objectives ?? {};
  return {
    rtoMilliseconds: (rto === undefined ? undefined : parseDuration(rto)) ?? RTO_MS,
    rpoMilliseconds: (rpo === undefined ? undefined : parseDuration(rpo)) ?? RPO_MS,
  };
}

/** One phase after another. */
class PhaseClock {
  readonly #started = performance.now();
  readonly #phases: { name: string; from: number }[] = [];

  begin(name: string): void {
    if (this.#phases.at(-1)?.name !== name) this.#phases.push({ name, from: performance.now() });
  }

  get elapsed(): number {
    return Math.round(performance.now() - this.#started);
  }

  end(): DrillDocument['phases'] {
    const now = performance.now();
    return this.#phases.map(({ name, from }, index) => ({
      name,
      milliseconds: Math.round((this.#phases[index + 1]?.from ?? now) - from),
    }));
  }
}
