import { FORMAT_VERSION } from '../archive/manifest.ts';
import type { GapDocument, TablesDocument } from '../archive/stream-documents.ts';
import { newId } from '../catalog/ids.ts';
import { publishGap, publishTables } from '../catalog/publish-stream.ts';
import type { Repository } from '../catalog/repository.ts';
import type { StreamAddress } from '../catalog/streams.ts';
import type { CaptureNames } from '../model/capture-names.ts';
import { Failure, asFailure } from '../model/failure.ts';
import { asLsn, formatLsn, parseLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { readCaptureSchema, readCaptureTables } from '../postgres/capture-probe.ts';
import type { Connection } from '../postgres/connection.ts';
import { answerInTime } from '../postgres/pulse.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { judgeTables } from './judge-tables.ts';
import type { KnownTable, KnownTables, MissedStretch, TableJudgement, TableLook } from './judge-tables.ts';

interface TableWatchOptions {
  readonly repository: Repository;
  readonly at: StreamAddress;
  readonly names: CaptureNames;
  /** What an earlier session stored. */
  readonly stored: TablesDocument | undefined;
  /** Up to where that holds: each heartbeat that is stored was written when nothing else was found. */
  readonly holdsUntil: Lsn;
  /** Event triggers count only where what they say can be verified. */
  readonly signed: boolean;
  readonly onGap: (gap: GapDocument) => void;
  readonly onLimited: (tables: readonly KnownTable[]) => void;
  /** Nobody else tells of it. */
  readonly onSchemaChanged: () => void;
  /** Up to a position schema changes may have been missed: event triggers were others, or nobody looked. */
  readonly onUnseen: (until: Lsn) => void;
  readonly onTrouble: (failure: Failure) => void;
  readonly signal: AbortSignal;
}

interface Conditions {
  /** Milliseconds of a clock that only goes forward. */
  readonly now: number;
  /** The server's clock. */
  readonly clock: Date;
  readonly allTables: boolean;
  /** The latest position behind which everything with at least this xid has committed. */
  readonly bound: (xid: bigint) => Lsn | undefined;
}

/** A look takes at most a twentieth of the server's time, and comes at least so often. */
const SHARE = 20;
const AT_LEAST_MS = 30_000;
/** Storing a document is waited for so long, so that a heartbeat need not wait for the next look. */
const PATIENCE_MS = 2000;

/**
 * Looks at tables and publications while a stream runs, and stores what that says of each table before any heartbeat
 * behind the look: whoever goes on after a crash starts from there. Of one session.
 */
export class TableWatch {
  readonly #options: TableWatchOptions;
  #known: KnownTables | undefined;
  #isFirst = true;
  #lookedAt = -Infinity;
  #tookMs = 0;
  #unstored: (() => Promise<void>) | undefined;
  #storing = false;
  #failure: Failure | undefined;

  constructor(options: TableWatchOptions) {
    const { stored, holdsUntil } = options;
    this.#options = options;
    this.#known = stored && { ...stored, holdsUntil };
  }

  isDue(now: number): boolean {
    return now - this.#lookedAt >= Math.min(SHARE * this.#tookMs, AT_LEAST_MS);
  }

  /** One look, and whether all that it found is stored by now: only then a heartbeat may follow. */
  async look(session: Connection, conditions: Conditions): Promise<TableLook | undefined> {
    if (this.#failure !== undefined) throw this.#failure;
    let look: TableLook | undefined;
    if (this.#unstored === undefined) {
      const started = performance.now();
      const { xmin, ...found } = await this.#read(session, conditions.allTables);
      this.#tookMs = performance.now() - started;
      this.#lookedAt = conditions.now;
      this.#judge(found, { ...conditions, xmin });
      look = found;
    }
    await this.#store();
    return this.#unstored === undefined ? look : undefined;
  }

  /** All in one snapshot, so that what it shows of triggers holds for what it shows of tables. */
  async #read(session: Connection, allTables: boolean): Promise<TableLook & { readonly xmin: bigint }> {
    const { names, signed } = this.#options;
    await session.execute('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const schema = await answerInTime(session, readCaptureSchema(session));
    const tables = await answerInTime(session, readCaptureTables(session, names));
    const [row] = await session.query<{ position: string }>(
      'SELECT pg_current_wal_insert_lsn()::text AS "position"',
    );
    await session.commit();
    const position = parseLsn(row?.position ?? '');
    if (position === undefined) throw new Failure('source.error', 'the server answered no position');
    const { objects, xmin } = schema;
    return {
      xmin: BigInt(xmin),
      triggers: signed ? schema.triggers : '',
      objects,
      tables,
      allTables,
      position,
    };
  }

  #judge(look: TableLook, conditions: Conditions & { readonly xmin: bigint }): void {
    const { bound, clock, xmin } = conditions;
    const before = this.#known;
    const judgement = judgeTables(before, look);
    const { triggers, objects, position } = look;
    if (before !== undefined && !judgement.exact && (this.#isFirst || before.triggers !== ''))
      this.#options.onUnseen(position);
    this.#isFirst = false;
    const { tables } = judgement;
    const holdsUntil = later(bound(xmin), before?.holdsUntil ?? this.#options.holdsUntil);
    const known = { triggers, objects, tables, holdsUntil };
    if (before !== undefined && !isOther(before, known) && judgement.gaps.length === 0) {
      this.#known = known;
      return;
    }
    const gaps = judgement.gaps.map((gap) => this.#gap(gap, clock));
    const document = this.#document(known, position, clock);
    this.#unstored = async () => {
      const { repository, signal } = this.#options;
      for (const gap of gaps) await publishGap(repository, gap, { signal });
      await failpoint('capture.table-gaps-stored');
      await publishTables(repository, document, { signal });
      this.#unstored = undefined;
      this.#known = known;
      this.#tell(judgement, gaps);
    };
  }

  #tell({ limited, schemaChanged, exact }: TableJudgement, gaps: readonly GapDocument[]): void {
    const { onGap, onLimited, onSchemaChanged } = this.#options;
    for (const gap of gaps) onGap(gap);
    if (limited.length > 0) onLimited(limited);
    if (schemaChanged && !exact) onSchemaChanged();
  }

  /** Waits a little; what the store does not take now is tried again at the next look. */
  async #store(): Promise<void> {
    const store = this.#unstored;
    if (store === undefined || this.#storing) return;
    this.#storing = true;
    const stored = store()
      .catch((error: unknown) => this.#failed(asFailure(error)))
      .finally(() => (this.#storing = false));
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise((resolve) => (timer = setTimeout(resolve, PATIENCE_MS)));
    await Promise.race([stored, patience]);
    clearTimeout(timer);
  }

  #failed(failure: Failure): void {
    if (failure.code.startsWith('repository.') && failure.code !== 'repository.newer_format')
      this.#options.onTrouble(failure);
    else this.#failure = failure;
  }

  #gap({ reason, from, to, tables }: MissedStretch, clock: Date): GapDocument {
    const { source, stream } = this.#options.at;
    return {
      formatVersion: FORMAT_VERSION,
      kind: 'tidemark-gap',
      id: newId(clock),
      source,
      reason,
      stream,
      from: { lsn: formatLsn(from) },
      to: { lsn: formatLsn(to), stream },
      tables: tables.map(({ oid, schema, name }) => ({ oid, schema, name })),
      noticedAt: clock.toISOString(),
    };
  }

  #document({ triggers, objects, tables }: KnownTables, position: Lsn, clock: Date): TablesDocument {
    const { source, stream } = this.#options.at;
    return {
      formatVersion: FORMAT_VERSION,
      kind: 'tidemark-tables',
      source,
      stream,
      position: formatLsn(position),
      noticedAt: clock.toISOString(),
      triggers,
      objects,
      tables: [...tables],
    };
  }
}

/** Storage aside, which a TRUNCATE changes too: an older one only makes a gap likelier. */
function isOther(one: KnownTables, other: KnownTables): boolean {
  const text = ({ triggers, objects, tables }: KnownTables): string =>
    JSON.stringify([triggers, objects, tables.map((table) => ({ ...table, storage: '' }))]);
  return text(one) !== text(other);
}

function later(one: Lsn | undefined, other: Lsn): Lsn {
  return one !== undefined && one > other ? one : asLsn(other);
}
