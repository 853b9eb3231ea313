import { openRepository } from '../../src/catalog/repository.ts';
import type { Repository } from '../../src/catalog/repository.ts';
import { readChanges } from '../../src/catalog/read-changes.ts';
import { readingBetween } from '../../src/catalog/reading.ts';
import { readManifest } from '../../src/catalog/snapshots.ts';
import { judgeIn, openHistory } from '../../src/catalog/source-history.ts';
import type { Usability } from '../../src/catalog/usability.ts';
import { Failure } from '../../src/model/failure.ts';
import type { Lsn } from '../../src/model/lsn.ts';
import { asLsn } from '../../src/model/lsn.ts';
import { applies } from '../../src/model/xid.ts';
import type { TransactionSnapshot } from '../../src/model/xid.ts';
import { parseConnectionUrl } from '../../src/postgres/connection-settings.ts';
import { continueToPoint } from '../../src/recovery/continue-to-point.ts';
import { planRecovery } from '../../src/recovery/plan-recovery.ts';
import { replay } from '../../src/replay/replay.ts';
import type { ReplayRequest } from '../../src/replay/request.ts';
import { openReplaySession } from '../../src/replay/session.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import type { Store } from '../../src/storage/store.ts';
import { newDatabase, session, sql } from '../support/postgres.ts';
import { tidemarkJson } from '../support/tidemark.ts';
import type { randomness } from '../support/workload.ts';
import { digestOfUrl } from './digest.ts';
import type { Digest, Witness } from './digest.ts';

const { signal } = new AbortController();

/** Objects of one store in another: a repository is copied as it is. */
export async function copyStore(from: Store, to: Store): Promise<void> {
  for await (const { key } of from.list('', { signal }))
    await to.putIfAbsent(key, await from.get(key, { signal }), { signal });
}

interface Base {
  readonly id: string;
  readonly url: string;
  readonly use: Extract<Usability, { kind: 'usable' }>;
}

/** Tables come with the torture's own copies, which have all from the beginning. */
const SCHEMA_AS_IT_IS = {
  objects: [],
  owners: true,
  isPart: false,
  complete: () => Promise.resolve(),
} as const;

/**
 * Brings many points back cheaply: each snapshot once, by the program itself, and from copies of that database on by
 * the program's own plan and replay, in this process.
 */
export class Targets {
  readonly #server: ThrowawayServer;
  readonly #path: string;
  readonly #repository: Repository;
  readonly #bases = new Map<string, Base>();
  count = 0;

  constructor(server: ThrowawayServer, at: { readonly path: string; readonly repository: Repository }) {
    this.#server = server;
    this.#path = at.path;
    this.#repository = at.repository;
  }

  static async open(server: ThrowawayServer, store: Store, path: string): Promise<Targets> {
    const repository = await openRepository(store, { signer: undefined, trust: undefined, signal });
    const targets = new Targets(server, { path, repository });
    await targets.#restoreSnapshots();
    return targets;
  }

  /** A user's target, `lsn:` exclusive: what committed before a position. */
  async prefix(before: Lsn): Promise<Digest> {
    return await this.#digestThen(await this.#prefixIn(undefined, before));
  }

  /** Each of the positions, in one database that goes on from one to the next, as a restore that goes on does. */
  async *walk(positions: readonly Lsn[]): AsyncGenerator<Digest> {
    let url: string | undefined;
    for (const position of positions) {
      url = await this.#prefixIn(url, position);
      this.count += 1;
      yield await digestOfUrl(url);
    }
    if (url !== undefined) await this.#drop(url);
  }

  async #prefixIn(url: string | undefined, before: Lsn): Promise<string> {
    const target = { kind: 'lsn', lsn: before, exclusive: true } as const;
    const plan = await planRecovery([this.#repository], {
      source: 'main',
      target,
      opener: undefined,
      signal,
    });
    const base = this.#bases.get(plan.snapshot.id);
    if (plan.replay === undefined || base === undefined) throw new Error('a point without changes');
    const into = url ?? (await this.#copyOf(base));
    const continuation = await continueToPoint(plan, plan.replay, {
      source: 'main',
      repository: this.#repository,
      target: parseConnectionUrl(into, {}),
      opener: undefined,
      wanted: () => true,
      onProgress: () => undefined,
      signal,
    });
    await continuation.run({ id: 'torture', isFinished: false, ...SCHEMA_AS_IT_IS, signal });
    return into;
  }

  /** Just what a snapshot of the busy source saw, which need be no prefix of history. */
  async visibleIn(witness: Witness): Promise<Digest> {
    const base = this.#baseWithin(witness.snapshot);
    const url = await this.#copyOf(base);
    await this.#replay(url, base, witness);
    return await this.#digestThen(url);
  }

  /** The same, by a replay that is killed at random until it has come to its end. */
  async visibleInKilled(
    witness: Witness,
    random: ReturnType<typeof randomness>,
    /** Changes in one transaction of the target, at most. */
    most: number,
  ): Promise<{ digest: Digest; kills: number }> {
    const [oldest] = this.#inOrder();
    if (oldest === undefined) throw new Error('no snapshot');
    const url = await this.#copyOf(oldest);
    let kills = 0;
    for (let isDone = false; !isDone;) {
      const kill = new AbortController();
      let commits = random.int(5);
      let timer: NodeJS.Timeout | undefined;
      const onProgress = (): void => {
        commits -= 1;
        if (commits <= 0) timer ??= setTimeout(() => void this.#kill(kill, random.int(2)), random.int(40));
      };
      try {
        await this.#replay(url, oldest, witness, {
          signal: kill.signal,
          limits: { changes: 60 + random.int(most) },
          onProgress,
        });
        isDone = true;
      } catch (error) {
        if (!(error instanceof Failure) || !['interrupted', 'target.lost'].includes(error.code)) throw error;
        kills += 1;
      } finally {
        clearTimeout(timer);
      }
    }
    return { digest: await this.#digestThen(url), kills };
  }

  /** By the client, which leaves the server at work, or by the server. */
  async #kill(client: AbortController, which: number): Promise<void> {
    if (which === 0) client.abort();
    else
      await sql(
        this.#server.url(),
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemark replay'`,
      );
  }

  async #replay(url: string, base: Base, witness: Witness, more: Partial<ReplayRequest> = {}): Promise<void> {
    const history = await openHistory([this.#repository], { source: 'main', signal });
    const view = history.streams.find(({ id }) => id === base.use.stream);
    if (view === undefined) throw new Error('no stream');
    const { segments } = await readingBetween(view, base.use.scanFrom, witness.upper);
    const asked = more.signal ?? signal;
    await using into = await openReplaySession(parseConnectionUrl(url, {}), {
      settings: view.document.settings,
      encoding: 'UTF8',
      signal: asked,
    });
    const seen = {
      kind: 'xid',
      snapshot: witness.snapshot,
      upper: witness.upper,
      scanFrom: asLsn(0n),
    } as const;
    await replay(into, {
      id: 'torture',
      records: readChanges(
        this.#repository,
        { source: 'main', stream: view.id },
        { segments, opener: undefined, signal: asked },
      ),
      stop: { kind: 'lsn', lsn: witness.upper, exclusive: true },
      reach: { position: view.covered.at(-1)?.to ?? view.start, time: undefined },
      tie: base.use.tie,
      only: (transaction) => !applies(transaction, seen),
      signal: asked,
      ...more,
    });
  }

  async #restoreSnapshots(): Promise<void> {
    const history = await openHistory([this.#repository], { source: 'main', signal });
    for (const { id } of history.snapshots) {
      const { document } = await readManifest(this.#repository, { source: 'main', id }, { signal });
      const use = await judgeIn(history, document);
      if (use.kind !== 'usable') continue;
      const url = await newDatabase(this.#server);
      const to = ['--to', `snapshot:${id}`, '--target', url, '--repository', this.#path];
      await tidemarkJson(['restore', ...to]);
      this.#bases.set(id, { id, url, use });
    }
  }

  #inOrder(): Base[] {
    return [...this.#bases.values()].sort((a, b) => Number(a.use.upper - b.use.upper));
  }

  /** The newest snapshot that shows nothing that the other does not. */
  #baseWithin(witness: TransactionSnapshot): Base {
    const base = this.#inOrder().findLast(({ use }) => {
      if (use.tie.kind !== 'xid') return false;
      const { snapshot } = use.tie;
      const isHidden = (xid: bigint): boolean => xid >= snapshot.xmax || snapshot.running.has(xid);
      return snapshot.xmax <= witness.xmax && [...witness.running].every((xid) => isHidden(xid));
    });
    if (base === undefined) throw new Error('no snapshot is older');
    return base;
  }

  async #copyOf(base: Base): Promise<string> {
    const url = new URL(base.url);
    const name = `target_${(Targets.#made += 1)}`;
    await using connection = await session(this.#server.url());
    await connection.execute(`CREATE DATABASE ${name} TEMPLATE ${url.pathname.slice(1)}`);
    url.pathname = `/${name}`;
    return url.toString();
  }

  static #made = 0;

  async #digestThen(url: string): Promise<Digest> {
    const digest = await digestOfUrl(url);
    this.count += 1;
    await this.#drop(url);
    return digest;
  }

  async #drop(url: string): Promise<void> {
    await sql(this.#server.url(), `DROP DATABASE ${new URL(url).pathname.slice(1)} WITH (FORCE)`);
  }
}
