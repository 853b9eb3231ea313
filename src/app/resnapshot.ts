import { setTimeout as pause } from 'node:timers/promises';
import { decideSchemaSnapshot } from '../capture/follow-schema.ts';
import { decideFollowUp } from '../capture/follow-up.ts';
import type { BegunSnapshot, FollowUp, FollowUpFacts } from '../capture/follow-up.ts';
import type { Manifest } from '../archive/manifest.ts';
import type { GapDocument } from '../archive/stream-documents.ts';
import { timeOfId } from '../catalog/ids.ts';
import { readManifest, listSnapshotFolders } from '../catalog/snapshots.ts';
import type { Repository } from '../catalog/repository.ts';
import { judgeIn, openHistory } from '../catalog/source-history.ts';
import { tablesChangedAt } from '../catalog/tables.ts';
import { Failure, asFailure } from '../model/failure.ts';
import { quoteRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import { connect } from '../postgres/connection.ts';
import { readTableDefinitions } from '../postgres/inventory.ts';
import type { Settings } from './settings.ts';
import { snapshotJob } from './snapshot-job.ts';

export type FollowUpEvent =
  | {
      readonly kind: 'snapshot-begun';
      readonly gaps: readonly string[];
      /** Absent: all. */
      readonly tables?: readonly RelationName[];
    }
  | { readonly kind: 'snapshot-taken'; readonly snapshot: string; readonly tables: number }
  | { readonly kind: 'snapshot-postponed'; readonly until: string }
  | { readonly kind: 'snapshot-failed'; readonly failure: Failure }
  /** Somebody has to look. */
  | { readonly kind: 'snapshot-alert'; readonly failure: Failure };

/** Waits for its turn, or fails with the signal. */
export type Exclusively = <T>(act: () => Promise<T>, signal: AbortSignal) => Promise<T>;

interface FollowerOptions {
  readonly settings: Settings;
  readonly repository: Repository;
  readonly onEvent: (event: FollowUpEvent) => void;
  /** Decides and takes while nobody else takes a snapshot. */
  readonly exclusively: Exclusively;
  readonly signal: AbortSignal;
}

const LOOK_MS = 600_000;
const RETRY_MS = 60_000;
const EXPECTED_MS = 2000;
const WHOLE = {
  engine: 'copy',
  format: 'text',
  table: [],
  schema: [],
  exclude: [],
  largeObjects: true,
} as const;

/** Takes the snapshots that gaps ask for, one at a time, for as long as capture runs. `wake`: something may be wanted now. */
export class GapFollower {
  readonly #options: FollowerOptions;
  readonly #manifests = new Map<string, Manifest>();
  /** Attempts that may have left nothing in the repository. */
  readonly #failed: BegunSnapshot[] = [];
  #wanted = Promise.withResolvers<void>();
  readonly #expected = new Set<string>();
  #told = '';

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /** `gap`: told of before it was stored, so that a look may come too early. */
  wake(gap?: string): void {
    if (gap !== undefined) this.#expected.add(gap);
    this.#wanted.resolve();
  }

  /** Until the signal; a snapshot that is under way is broken off then, and leaves no trace that counts. Never fails. */
  async run(): Promise<void> {
    const { signal, onEvent } = this.#options;
    while (!signal.aborted) {
      this.#wanted = Promise.withResolvers();
      let wait = RETRY_MS;
      try {
        wait = await this.#options.exclusively(() => this.#follow(), signal);
      } catch (error) {
        if (!signal.aborted) onEvent({ kind: 'snapshot-failed', failure: asFailure(error) });
      }
      await rest(wait, this.#wanted.promise, signal);
    }
  }

  /** Milliseconds until it is worth another look. */
  async #follow(): Promise<number> {
    const facts = await this.#read();
    const forGaps = decideFollowUp(facts);
    const decision = forGaps.kind === 'none' ? decideSchemaSnapshot(facts) : forGaps;
    for (const { id } of facts.gaps) this.#expected.delete(id);
    if (decision.kind === 'none') return this.#expected.size > 0 ? EXPECTED_MS : LOOK_MS;
    if (decision.kind === 'take') {
      await this.#take(decision);
      return 0;
    }
    if (decision.gaps.length > 0) this.#tell(decision);
    return Math.min(LOOK_MS, decision.until - facts.now);
  }

  /** Once for each time it is put off to. */
  #tell({ kind, until, gaps }: Extract<FollowUp, { until: number }>): void {
    const at = new Date(until).toISOString();
    if (this.#told === `${kind} ${at}`) return;
    this.#told = `${kind} ${at}`;
    const { onEvent } = this.#options;
    if (kind === 'wait') onEvent({ kind: 'snapshot-postponed', until: at });
    else
      onEvent({
        kind: 'snapshot-alert',
        failure: new Failure(
          'snapshot.limit',
          `gaps wanted more than four snapshots within a day (the latest: ${gaps.at(-1)}); none is taken before ${at}`,
          { facts: { gaps: [...gaps], until: at } },
        ),
      });
  }

  async #take({ gaps, tables }: Extract<FollowUp, { kind: 'take' }>): Promise<void> {
    const { onEvent, signal } = this.#options;
    onEvent({ kind: 'snapshot-begun', gaps, ...(tables !== undefined && { tables }) });
    const begunAt = Date.now();
    try {
      const { manifest } = await this.#snapshot(tables);
      onEvent({ kind: 'snapshot-taken', snapshot: manifest.id, tables: manifest.totals.tables });
    } catch (error) {
      if (signal.aborted) return;
      this.#failed.push({ begunAt, activeAt: 0, complete: undefined });
      onEvent({ kind: 'snapshot-failed', failure: asFailure(error) });
    }
  }

  #snapshot(tables: readonly RelationName[] = []): ReturnType<typeof snapshotJob> {
    const { settings, signal } = this.#options;
    const told = { onEvent: () => undefined, onCreated: () => undefined };
    return snapshotJob(settings, { ...WHOLE, table: tables.map(quoteRelation), ...told, signal });
  }

  async #read(): Promise<FollowUpFacts & { readonly changedAt: number | undefined }> {
    const { repository, settings, signal } = this.#options;
    const options = { source: settings.sourceName, signal };
    const history = await openHistory([repository], options);
    const newest = history.streams.at(-1);
    const ended = history.gaps.some((gap) => gap.stream === newest?.id && gap.tables === undefined);
    const snapshots: BegunSnapshot[] = [...this.#failed];
    for (const folder of await listSnapshotFolders(repository, options)) {
      const manifest = folder.complete ? await this.#manifest(folder.id) : undefined;
      snapshots.push({
        begunAt: timeOfId(folder.id),
        activeAt: folder.modified.getTime(),
        complete: manifest && {
          whole: this.#isWhole(manifest),
          base: manifest.scope.kind === 'whole',
          tables: manifest.tables,
          use: await judgeIn(history, manifest),
        },
      });
    }
    const at = newest && { source: settings.sourceName, stream: newest.id };
    return {
      now: Date.now(),
      changedAt: at && !ended ? await tablesChangedAt(repository, at, { signal }) : undefined,
      stream:
        newest === undefined || ended
          ? undefined
          : { id: newest.id, startedAt: Date.parse(newest.document.startedAt) },
      gaps: history.gaps,
      made: await this.#made(history.gaps.filter((gap) => gap.stream === newest?.id)),
      snapshots,
    };
  }

  /** How the tables of gaps are made now; none where the source does not answer, which a snapshot will tell. */
  async #made(gaps: readonly GapDocument[]): Promise<FollowUpFacts['made']> {
    const oids = new Set(gaps.flatMap(({ tables = [] }) => tables.map(({ oid }) => String(oid))));
    if (oids.size === 0) return new Map();
    const { settings, signal } = this.#options;
    try {
      await using source = await connect(settings.source(), {
        side: 'source',
        job: 'snapshot',
        signal,
        session: { search_path: '' },
      });
      const found = await readTableDefinitions(source, [...oids]);
      return new Map([...found].map(([oid, table]) => [Number(oid), table]));
    } catch (error) {
      if (signal.aborted) throw error;
      return new Map();
    }
  }

  async #manifest(id: string): Promise<Manifest> {
    const { repository, settings, signal } = this.#options;
    const known = this.#manifests.get(id);
    if (known !== undefined) return known;
    const { document } = await readManifest(repository, { source: settings.sourceName, id }, { signal });
    this.#manifests.set(id, document);
    return document;
  }

  #isWhole({ scope }: Manifest): boolean {
    const { settings } = this.#options;
    const { tables = [], schemas = [], exclude = [] } = settings.config.sources?.[settings.sourceName] ?? {};
    if (scope.kind === 'whole') return true;
    const same = (one: readonly string[], other: readonly string[]): boolean =>
      one.length === other.length && one.every((text, index) => text === other[index]);
    return same(scope.tables, tables) && same(scope.schemas, schemas) && same(scope.exclude, exclude);
  }
}

/** Until the time is over, something is wanted, or the signal. */
async function rest(milliseconds: number, woken: Promise<void>, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const ended = AbortSignal.any([signal, over.signal]);
  await Promise.race([pause(milliseconds, undefined, { signal: ended }).catch(() => undefined), woken]);
  over.abort();
}
