import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { Failure } from '../model/failure.ts';
import { connect } from '../postgres/connection.ts';
import type { Connection } from '../postgres/connection.ts';
import { parseConnectionUrl } from '../postgres/connection-settings.ts';
import { discoverTools } from '../postgres/tools.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import { findServerBinaries } from '../server/binaries.ts';
import type { ServerBinaries } from '../server/binaries.ts';
import { startServer } from '../server/start-server.ts';
import type { ThrowawayServer } from '../server/start-server.ts';
import type { Manifest } from '../archive/manifest.ts';
import type { RestoreReport } from '../restore/request.ts';
import { restoreJob } from './restore-job.ts';
import { Settings } from './settings.ts';
import { snapshotJob } from './snapshot-job.ts';

/** What the demo does, step by step, for whoever prints it. */
interface DemoSteps {
  readonly server: (facts: {
    readonly major: number;
    readonly origin: string;
    readonly milliseconds: number;
  }) => void;
  readonly sample: (facts: {
    readonly tables: number;
    readonly rows: number;
    readonly bytes: number;
    readonly milliseconds: number;
  }) => void;
  readonly snapshot: (facts: { readonly manifest: Manifest; readonly milliseconds: number }) => void;
  readonly disaster: (facts: { readonly lost: string; readonly rows: number }) => void;
  readonly restored: (facts: { readonly report: RestoreReport }) => void;
  readonly compared: (facts: {
    readonly tables: number;
    readonly same: number;
    readonly milliseconds: number;
  }) => void;
  readonly oneTable: (facts: { readonly rows: bigint; readonly milliseconds: number }) => void;
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

/**
 * Protects a sample database, breaks it, brings it back and compares, all on a server of its own in a
 * temporary directory. Leaves nothing behind.
 */
export async function demo(options: DemoOptions): Promise<void> {
  const { steps, signal } = options;
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-demo-'));
  try {
    const started = performance.now();
    const binaries = await serverBinaries(signal);
    await using server = await startServer({
      binaries,
      settings: { fsync: 'off', wal_level: 'logical', max_locks_per_transaction: '256' },
      signal,
    });
    steps.server({ major: server.major, origin: binaries.origin, milliseconds: performance.now() - started });
    await perform(server, { ...options, repository: join(directory, 'backups') });
    if (options.keep) {
      await steps.kept({
        source: server.url('rentals'),
        restored: server.url('rentals_restored'),
        repository: join(directory, 'backups'),
      });
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function perform(
  server: ThrowawayServer,
  run: DemoOptions & { readonly repository: string },
): Promise<void> {
  const { steps, signal } = run;
  const environment = process.env;
  const at = (database: string): Promise<Connection> =>
    connect(parseConnectionUrl(server.url(database), environment), { side: 'source', job: 'demo', signal });
  const settings = await Settings.load(
    { url: server.url('rentals'), repository: run.repository },
    environment,
  );

  await using source = await loadSample(at, { scale: run.scale, steps });
  const before = await contentDigests(source);

  const { manifest, milliseconds } = await snapshotJob(settings, { ...SNAPSHOT_DEFAULTS, signal });
  steps.snapshot({ manifest, milliseconds });

  const [lost] = await source.query<{ rows: number }>('SELECT count(*)::int AS "rows" FROM market.messages');
  await source.execute('TRUNCATE market.messages CASCADE; DROP TABLE market.payments CASCADE');
  steps.disaster({
    lost: 'TRUNCATE market.messages CASCADE; DROP TABLE market.payments CASCADE',
    rows: lost?.rows ?? 0,
  });

  const restore = { ...RESTORE_DEFAULTS, target: server.url('rentals_restored'), signal };
  const report = await restoreJob(settings, restore);
  steps.restored({ report });

  const compareStarted = performance.now();
  await using restored = await at('rentals_restored');
  const after = await contentDigests(restored);
  const same = [...before].filter(([name, digest]) => after.get(name) === digest).length;
  steps.compared({ tables: before.size, same, milliseconds: performance.now() - compareStarted });
  if (same !== before.size || after.size !== before.size) {
    throw new Failure(
      'target.row_count',
      `${before.size - same} of ${before.size} tables differ after the restore`,
    );
  }

  const oneStarted = performance.now();
  const one = await restoreJob(settings, {
    ...restore,
    target: server.url('payments_only'),
    table: ['market.payments'],
  });
  steps.oneTable({ rows: one.rows, milliseconds: performance.now() - oneStarted });
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
  to: 'latest',
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

/** A server that the client programs here can dump: installed ones first, they have clients of their own major. */
async function serverBinaries(signal: AbortSignal): Promise<ServerBinaries> {
  const tools = await discoverTools({
    binDirectories: process.env['TIDEMARK_PG_BIN'],
    searchPath: process.env['PATH'] ?? '',
    signal,
  });
  const newest = tools.at(-1)?.major ?? 0;
  const found = findServerBinaries().find((candidate) => candidate.major >= 14 && candidate.major <= newest);
  if (found !== undefined) return found;
  throw new Failure(
    'server.unavailable',
    'no PostgreSQL server programs that the client programs here can dump',
    {
      facts: { newestClient: newest },
    },
  );
}

async function loadSample(
  at: (database: string) => Promise<Connection>,
  options: { readonly scale: number; readonly steps: DemoSteps },
): Promise<Connection> {
  const started = performance.now();
  await using admin = await at('postgres');
  await admin.execute('CREATE DATABASE rentals TEMPLATE template0');
  const source = await at('rentals');
  await source.query("SELECT set_config('sample.scale', $1, false)", [String(options.scale)]);
  for (const name of ['sample/01-schema', 'sample/02-data', 'sample/03-code'])
    await source.execute(sqlFile(name));
  await source.execute('ANALYZE');
  const [facts] = await source.query<{ tables: number; rows: string; bytes: string }>(
    `SELECT count(*)::int AS "tables", sum(reltuples)::bigint::text AS "rows", pg_database_size(current_database())::text AS "bytes"
       FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname !~ '^(pg_|information_schema)'`,
  );
  options.steps.sample({
    tables: facts?.tables ?? 0,
    rows: Number(facts?.rows),
    bytes: Number(facts?.bytes),
    milliseconds: performance.now() - started,
  });
  return source;
}

/** One digest for each ordinary, logged table: of its rows as text, whatever their order. */
async function contentDigests(connection: Connection): Promise<Map<string, string>> {
  const tables = await connection.query<{ name: string; relation: string }>(
    `SELECT c.oid::regclass::text AS "name", format('%I.%I', n.nspname, c.relname) AS "relation"
       FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
      WHERE relkind = 'r' AND relpersistence = 'p' AND nspname !~ '^(pg_|information_schema)' ORDER BY 1`,
  );
  const digests = new Map<string, string>();
  for (const { name, relation } of tables) {
    const [row] = await connection.query<{ rows: string; sums: string }>(
      `SELECT count(*)::text AS "rows", coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text AS "sums" FROM ONLY ${relation} AS t`,
    );
    digests.set(name, createHash('sha256').update(`${row?.rows}/${row?.sums}`).digest('hex'));
  }
  return digests;
}
