import type { RunFacts } from '../archive/stream-documents.ts';
import type { CaptureNames } from '../model/capture-names.ts';
import { Failure } from '../model/failure.ts';
import { asLsn, parseLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import type { Connection } from '../postgres/connection.ts';
import { readPublications } from '../postgres/publications.ts';
import type { Publication } from '../postgres/publications.ts';
import { answerInTime } from '../postgres/pulse.ts';
import { describeOldestTransaction } from '../postgres/slot.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import type { StreamDocument } from '../archive/stream-documents.ts';
import { defaultSlotLimit, judgeSlot, remember } from './governor.ts';
import type { Judgement, SlotLook } from './governor.ts';
import type { Heartbeat } from './heartbeat.ts';
import type { TableLook } from './judge-tables.ts';
import type { TableWatch } from './table-watch.ts';

/** sql/introspect/capture-watch.sql */
interface WatchRow {
  readonly position: string;
  readonly nextXid: string;
  readonly clock: string;
  readonly slotExists: boolean;
  readonly activePid: number | null;
  readonly confirmed: string | null;
  readonly restart: string | null;
  readonly walStatus: SlotLook['walStatus'];
  readonly safeWalSize: string | null;
  readonly keepMegabytes: string | null;
  readonly syncState: string | null;
  readonly eventTriggers: number;
}

export interface Look {
  readonly judgement: Judgement;
  /** How far schema changes are known as of now. */
  readonly ddl: RunFacts['ddl'];
}

interface WatchOptions {
  readonly session: Connection;
  readonly names: CaptureNames;
  readonly walsender: number;
  readonly stream: StreamDocument;
  readonly tidemark: Lsn;
  readonly signed: boolean;
  readonly slotLimit: bigint | undefined;
  readonly heartbeat: Heartbeat;
  /** At the slot, of all sessions. */
  readonly looks: { seen: readonly SlotLook[] };
  readonly tables: TableWatch;
  readonly onTables: (look: TableLook) => void;
  readonly onLook: (look: Look) => void;
}

const LOOK_MS = 5000;

/** Looks after the source while a stream runs: the slot, the publications, the tables, and that no commit waits for us. */
export class Watch {
  readonly #options: WatchOptions;
  #first = true;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /**
   * One look, and a heartbeat when it is due. Fails with `source.synchronous`, `source.slot_in_use`,
   * `source.changed` when the publications are others, or as queries do.
   */
  async look(): Promise<void> {
    const { session, names, walsender, heartbeat } = this.#options;
    const row = await readWatchRow(session, { slot: names.slot, walsender });
    this.#checkOurs(row);
    const now = performance.now();
    const judgement = await this.#name(judgeRow(row, now, this.#options));
    const ddl = row.eventTriggers === 3 && this.#options.signed ? 'exact' : 'inferred';
    this.#options.onLook({ judgement, ddl });
    const { tables } = this.#options;
    if (!this.#first && !(heartbeat.isDue(now, BigInt(row.nextXid)) && tables.isDue(now))) return;
    const publications = await this.#checkPublications();
    const found = await tables.look(session, {
      now,
      clock: new Date(Number(BigInt(row.clock) / 1000n) + Date.UTC(2000, 0, 1)),
      allTables: publications.some(({ name, allTables }) => name === names.rows && allTables),
      bound: (xid) => heartbeat.boundBelow(xid),
    });
    // What was found is not stored yet: a heartbeat would vouch for it.
    if (found === undefined) return;
    this.#options.onTables(found);
    await heartbeat.beat(
      session,
      now,
      publications.map(({ definition }) => definition),
    );
    this.#first = false;
  }

  /** Again and again until the signal; a failure ends it. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, LOOK_MS);
        signal.addEventListener('abort', () => {
          clearTimeout(timer);
          resolve(undefined);
        });
      });
      if (!signal.aborted) await this.look();
    }
  }

  /** What is pinned is somebody's: only they can end it. */
  async #name(judgement: Judgement): Promise<Judgement> {
    if (judgement.level !== 'pinned') return judgement;
    const { session } = this.#options;
    const oldest = await answerInTime(session, describeOldestTransaction(session));
    return oldest === undefined ? judgement : { ...judgement, why: `${judgement.why}: ${oldest}` };
  }

  /** Between the look at the gates and the start somebody else may have had the slot. */
  #checkOurs(row: WatchRow): void {
    const { walsender, names, tidemark } = this.#options;
    if (row.syncState !== null && row.syncState !== 'async')
      throw new Failure(
        'source.synchronous',
        `this capture became a synchronous standby (${row.syncState}): commits of the source would wait for it`,
      );
    if (row.activePid !== walsender)
      throw new Failure('source.lost', `slot ${names.slot} is not ours any more`);
    const confirmed = parseLsn(row.confirmed ?? '');
    if (this.#first && (confirmed === undefined || confirmed > tidemark))
      throw new Failure('source.lost', `slot ${names.slot} moved to ${row.confirmed} before it was ours`);
  }

  async #checkPublications(): Promise<Publication[]> {
    const { session, names, stream } = this.#options;
    const found = await readPublications(session, [names.rows, names.changes]);
    for (const expected of stream.publications) {
      const now = found.find(({ name }) => name === expected.name);
      if (now?.shape !== expected.sha256 || now.filtered)
        throw new Failure('source.changed', `publication ${expected.name} is another one than it was`);
    }
    return found;
  }
}

export async function readWatchRow(
  session: Connection,
  { slot, walsender }: { readonly slot: string; readonly walsender: number | null },
): Promise<WatchRow> {
  const query = session.query<WatchRow>(sqlFile('introspect/capture-watch'), [slot, walsender]);
  const [row] = await answerInTime(session, query);
  if (row === undefined) throw new Failure('source.error', 'the server answered no row about the slot');
  return row;
}

/** By what was seen before, which it adds to. */
export function judgeRow(
  row: WatchRow,
  now: number,
  { looks, slotLimit }: Pick<WatchOptions, 'looks' | 'slotLimit'>,
): Judgement {
  const look = slotLook(row, now);
  const limit = slotLimit ?? defaultSlotLimit(BigInt(row.keepMegabytes ?? '-1'));
  const judgement = judgeSlot(look, looks.seen, limit);
  looks.seen = remember(looks.seen, look);
  return judgement;
}

function slotLook(row: WatchRow, at: number): SlotLook {
  const position = parseLsn(row.position) ?? asLsn(0n);
  return {
    at,
    position,
    confirmed: parseLsn(row.confirmed ?? '') ?? position,
    restart: parseLsn(row.restart ?? '') ?? position,
    walStatus: row.walStatus,
    safeBytes: row.safeWalSize === null ? undefined : BigInt(row.safeWalSize),
  };
}

/** For people and JSON. */
export function lagFacts({ own, pinned, secondsLeft }: Judgement): {
  readonly ownLagBytes: string;
  readonly pinnedLagBytes: string;
  readonly secondsLeft: number | undefined;
} {
  return { ownLagBytes: own.toString(), pinnedLagBytes: pinned.toString(), secondsLeft };
}
