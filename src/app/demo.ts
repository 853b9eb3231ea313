import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Manifest } from '../archive/manifest.ts';
import type { LoggedTransaction } from '../history/read-log.ts';
import { Failure } from '../model/failure.ts';
import { connect } from '../postgres/connection.ts';
import type { Connection } from '../postgres/connection.ts';
import { parseConnectionUrl } from '../postgres/connection-settings.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import { startServer } from '../server/start-server.ts';
import type { ThrowawayServer } from '../server/start-server.ts';
import { captureJob } from './capture-job.ts';
import { contentDigests, loadSample, serverBinaries } from './demo-source.ts';
import type { SampleFacts } from './demo-source.ts';
import { setUpCaptureJob } from './init-job.ts';
import { logJob } from './log-job.ts';
import { restoreJob } from './restore-job.ts';
import type { PointReport } from './restore-job.ts';
import { Settings } from './settings.ts';
import { snapshotJob } from './snapshot-job.ts';

const DISASTER = 'UPDATE market.payments SET amount = 0, paid_at = NULL';
const FLUSH_MS = 500;
const POLL_MS = 200;
/** For a change to be stored, on a machine that is busy. */
const PATIENCE_MS = 60_000;

/** What the demo does, step by step, for whoever prints it. */
interface DemoSteps {
  readonly server: (facts: {
    readonly major: number;
    readonly origin: string;
    readonly milliseconds: number;
  }) => void;
  readonly sample: (facts: SampleFacts) => void;
  readonly capturing: (facts: { readonly slot: string; readonly milliseconds: number }) => void;
  readonly snapshot: (facts: { readonly manifest: Manifest; readonly milliseconds: number }) => void;
  readonly work: (facts: { readonly transactions: number }) => void;
  readonly disaster: (facts: { readonly statement: string; readonly rows: number }) => void;
  readonly found: (facts: {
    readonly transaction: LoggedTransaction;
    readonly read: number;
    readonly milliseconds: number;
  }) => void;
  readonly restored: (facts: { readonly to: string; readonly report: PointReport }) => void;
  readonly compared: (facts: {
    readonly tables: number;
    readonly same: number;
    readonly milliseconds: number;
  }) => void;
  readonly oneTable: (facts: {
    readonly rows: bigint;
    readonly changes: number;
    readonly milliseconds: number;
  }) => void;
  /** Only with `keep`: what is left running. Resolves when it may be stopped. */
  readonly kept: (facts: {
    readonly source: string;
    readonly restored: string;
    readonly repository: string;
  }) => Promise<void>;
}

interface DemoOptions {
  readonly scale: number;
  readonly keep: boolean;
  readonly steps: DemoSteps;
  readonly signal: AbortSignal;
}

interface DemoRun extends DemoOptions {
  readonly server: ThrowawayServer;
  readonly settings: Settings;
  readonly repository: string;
}

/**
 * Protects a sample database, damages it amid its work, brings back the moment before and compares, all on a server of
 * its own in a temporary directory. Leaves nothing behind.
 */
export async function demo(options: DemoOptions): Promise<void> {
  const { steps, signal } = options;
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-demo-'));
  const repository = join(directory, 'backups');
  try {
    const started = performance.now();
    const binaries = await serverBinaries(signal);
    await using server = await startServer({
      binaries,
      settings: { fsync: 'off', wal_level: 'logical', max_locks_per_transaction: '256' },
      signal,
    });
    steps.server({ major: server.major, origin: binaries.origin, milliseconds: performance.now() - started });
    const settings = await Settings.load({ url: server.url('rentals'), repository }, process.env);
    await perform({ ...options, server, settings, repository });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function perform(run: DemoRun): Promise<void> {
  const { steps, signal, settings, server } = run;
  const at = (database: string): Promise<Connection> =>
    connect(parseConnectionUrl(server.url(database), process.env), { side: 'source', job: 'demo', signal });
  const sample = await loadSample(at, run.scale);
  await using source = sample.source;
  steps.sample(sample.facts);

  await using capture = await startCapture(run);
  const { manifest, milliseconds } = await snapshotJob(settings, { ...SNAPSHOT_DEFAULTS, signal });
  steps.snapshot({ manifest, milliseconds });

  const work = sqlFile('sample/04-work')
    .split(';\n')
    .filter((statement) => statement.trim() !== '');
  for (const statement of work) await source.execute(statement);
  steps.work({ transactions: work.length });
  const before = await contentDigests(source);
  steps.disaster({ statement: DISASTER, rows: (await source.query(`${DISASTER} RETURNING 1`)).length });
  // The damage is noticed later: restoring must not go beyond it, nor take what was before.
  for (const statement of work) await source.execute(statement);

  const { xid } = await Promise.race([findDamage(run), capture.failed]);
  const to = `xid:${xid}`;
  const restore = { ...RESTORE_DEFAULTS, to, exclusive: true, signal };
  const target = server.url('rentals_restored');
  steps.restored({ to, report: await restoreJob(settings, { ...restore, target }) });
  await using restored = await at('rentals_restored');
  await compare(before, restored, steps);

  const oneStarted = performance.now();
  const payments = { table: ['market.payments'], target: server.url('payments_only') };
  const one = await restoreJob(settings, { ...restore, ...payments });
  const changes = one.changes?.applied ?? 0;
  steps.oneTable({ rows: one.rows, changes, milliseconds: performance.now() - oneStarted });
  const { repository } = run;
  if (run.keep) await steps.kept({ source: server.url('rentals'), restored: target, repository });
}

/** Capture, as a service of its own would run it, until it is disposed of. */
async function startCapture(run: DemoRun): Promise<AsyncDisposable & { readonly failed: Promise<never> }> {
  const started = performance.now();
  const { settings } = run;
  const stop = new AbortController();
  const { names } = await setUpCaptureJob(settings, { onNote: () => undefined, signal: run.signal });
  const streaming = Promise.withResolvers<void>();
  const ended = captureJob(settings, {
    flush: FLUSH_MS,
    onEvent: ({ kind }) => {
      if (kind === 'streaming') streaming.resolve();
    },
    signal: AbortSignal.any([stop.signal, run.signal]),
  });
  const failed = ended.then(() => {
    throw new Failure('interrupted', 'capture was stopped');
  });
  // Whoever races with it hears of it; nobody need be listening when it is stopped.
  failed.catch(() => undefined);
  await Promise.race([streaming.promise, failed]);
  run.steps.capturing({ slot: names.slot, milliseconds: performance.now() - started });
  return {
    failed,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      // How it failed is `failed`'s to say, once.
      await ended.catch(() => undefined);
    },
  };
}

/** The transaction that updated the most payments, once capture has stored it. */
async function findDamage(run: DemoRun): Promise<LoggedTransaction> {
  const started = performance.now();
  const updates = (transaction: LoggedTransaction): number =>
    transaction.tables.reduce((sum, { rows }) => sum + rows.updates, 0);
  while (performance.now() - started < PATIENCE_MS) {
    let read = 0;
    let damage: LoggedTransaction | undefined;
    await logJob(run.settings, {
      tables: ['market.payments'],
      kinds: ['updates'],
      from: undefined,
      to: undefined,
      timeZone: undefined,
      signal: run.signal,
      onTransaction: (transaction) => {
        read += 1;
        if (damage === undefined || updates(transaction) > updates(damage)) damage = transaction;
      },
    });
    if (damage !== undefined && updates(damage) > 1) {
      run.steps.found({ transaction: damage, read, milliseconds: performance.now() - started });
      return damage;
    }
    await pause(POLL_MS, undefined, { signal: run.signal });
  }
  throw new Failure('check.empty', 'the damage did not appear in the change stream');
}

async function compare(
  before: ReadonlyMap<string, string>,
  restored: Connection,
  steps: DemoSteps,
): Promise<void> {
  const started = performance.now();
  const after = await contentDigests(restored);
  const same = [...before].filter(([name, digest]) => after.get(name) === digest).length;
  steps.compared({ tables: before.size, same, milliseconds: performance.now() - started });
  if (same === before.size && after.size === before.size) return;
  throw new Failure(
    'target.row_count',
    `${before.size - same} of ${before.size} tables differ after the restore`,
  );
}

const SNAPSHOT_DEFAULTS = {
  engine: 'copy',
  format: 'text',
  table: [],
  schema: [],
  exclude: [],
  largeObjects: true,
  onEvent: () => undefined,
  onCreated: () => undefined,
} as const;

const RESTORE_DEFAULTS = {
  create: true,
  globals: false,
  clean: false,
  table: [],
  schema: [],
  schemaOnly: false,
  dataOnly: false,
  owner: true,
  privileges: true,
} as const;
