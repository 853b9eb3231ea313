import type { Opener } from '../archive/age.ts';
import type { WitnessDocument } from '../archive/witness-document.ts';
import { checkRecipients, ensureRepository, openRepository } from '../catalog/repository.ts';
import type { Repository } from '../catalog/repository.ts';
import { listWitnesses, readDigests, readWitness } from '../catalog/witnesses.ts';
import { Failure } from '../model/failure.ts';
import { connect } from '../postgres/connection.ts';
import type { Connection } from '../postgres/connection.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { takeWitness } from '../snapshot/take-witness.ts';
import type { WitnessEvent } from '../snapshot/take-witness.ts';
import { compareWith } from '../witness/compare-with.ts';
import type { TableVerdict } from '../witness/compare.ts';
import { DIGEST_METHOD } from '../witness/digest-statement.ts';
import { PROGRAM } from './program.ts';
import { openOthers } from './repositories.ts';
import type { Settings } from './settings.ts';

/** P7: one connection unless asked for more, and an hour at most. */
const JOBS = 1;
const MAX_MS = 3_600_000;
const LOCK_TIMEOUT_MS = 5000;
const GIVE_WAY_AFTER_MS = 10_000;

/** Digests the source's tables and stores what a restore of this instant must equal. */
export async function witnessJob(
  settings: Settings,
  run: {
    readonly jobs: number | undefined;
    readonly maxMs: number | undefined;
    readonly table: readonly string[];
    readonly schema: readonly string[];
    readonly exclude: readonly string[];
    readonly signal: AbortSignal;
    readonly onEvent: (event: WitnessEvent) => void;
  },
): Promise<WitnessDocument> {
  const source = settings.source();
  const sealer = settings.sealer();
  const signing = await settings.signing();
  const store = await settings.store();
  try {
    const fingerprints = sealer?.fingerprints ?? [];
    const { repository } = await ensureRepository(store, {
      recipientFingerprints: fingerprints,
      program: PROGRAM,
      ...signing,
      signal: run.signal,
    });
    checkRecipients(repository, fingerprints);
    await using others = await openOthers(settings, { except: store.location, signal: run.signal });
    return await takeWitness({
      source: settings.sourceName,
      settings: source,
      repository,
      others: others.repositories,
      selection: { tables: run.table, schemas: run.schema, exclude: run.exclude },
      jobs: run.jobs ?? JOBS,
      sealer,
      lockTimeoutMs: LOCK_TIMEOUT_MS,
      patienceMs: GIVE_WAY_AFTER_MS,
      program: PROGRAM,
      maxMs: run.maxMs ?? MAX_MS,
      onEvent: run.onEvent,
      signal: run.signal,
    });
  } finally {
    await store.close();
  }
}

/** What another database has, against a witness: it must show the witness's own instant, and nobody may write to it. */
export async function compareJob(
  settings: Settings,
  run: {
    readonly id: string;
    readonly target: string;
    readonly jobs: number | undefined;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly witness: WitnessDocument; readonly verdicts: readonly TableVerdict[] }> {
  const { signal } = run;
  const target = settings.connection(run.target);
  const source = settings.sourceName;
  const signing = await settings.signing();
  const store = await settings.store();
  try {
    const repository = await openRepository(store, { ...signing, signal });
    const id = run.id === 'latest' ? (await listWitnesses(repository, { source, signal })).at(-1) : run.id;
    if (id === undefined)
      throw new Failure('recovery.no_point', `source ${source} has no witness`, {
        remedy: 'take one with tidemark witness, or tidemark snapshot --witness',
      });
    const witness = await readWitness(repository, { source, id }, { signal });
    const opener = await settings.opener();
    const verdicts = await compareWithWitness(repository, witness, { ...run, target, opener });
    return { witness, verdicts };
  } finally {
    await store.close();
  }
}

/** Digests the witness's tables in `target` and compares. */
export async function compareWithWitness(
  repository: Repository,
  witness: WitnessDocument,
  run: {
    readonly target: ConnectionSettings;
    readonly opener: Opener | undefined;
    readonly jobs: number | undefined;
    readonly signal: AbortSignal;
  },
): Promise<TableVerdict[]> {
  const { signal } = run;
  if (witness.method !== DIGEST_METHOD)
    throw new Failure('repository.newer_format', `witness ${witness.id} has digests of another kind`, {
      facts: { method: witness.method },
    });
  const lanes = await readDigests(repository, witness, { opener: run.opener, signal });
  const tables = witness.tables.flatMap(({ condition, rows, ...table }, index) => {
    const sums = lanes[index];
    return sums === undefined ? [] : [{ ...table, condition, digest: { rows: BigInt(rows), lanes: sums } }];
  });
  await using stack = new AsyncDisposableStack();
  const readers: Connection[] = [];
  for (let count = 0; count < (run.jobs ?? JOBS); count += 1) {
    const reader = await connect(run.target, {
      side: 'target',
      job: 'witness',
      signal,
      session: { ...witness.settings, row_security: 'off', statement_timeout: '0' },
    });
    readers.push(stack.use(reader));
  }
  const { encoding } = witness.server;
  return await compareWith(readers, tables, { encoding, signal, onTable: () => undefined });
}
