import { createHmac, timingSafeEqual } from 'node:crypto';
import { sha256Hex } from '../archive/digest.ts';
import type { RunFacts } from '../archive/stream-documents.ts';
import type { CommitTime } from '../model/commit-time.ts';
import type { RelationName } from '../model/identifiers.ts';
import { formatLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { widenXid } from '../model/xid.ts';
import { decodeMessage } from '../pgoutput/decode.ts';

/** A transaction of ours, as our own connection made it: what a heartbeat is worth (REPLICATION C3). */
export interface Beat {
  /** WAL insert position before the transaction had an xid. */
  readonly position: Lsn;
  readonly xid: bigint;
  /** The server's clock, microseconds since 2000. */
  readonly at: CommitTime;
}

/** What makes a message count that a trigger or another program of ours has signed. */
export interface Signature {
  readonly key: Buffer;
  readonly sourceId: string;
}

export interface Mark {
  readonly name: string;
  readonly xid: bigint;
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
  readonly commitTime: CommitTime;
}

/** A table of which a transaction has changed more than it has sent. */
export interface Missed extends RelationName {
  /** Rewritten; or it had no key for a while, and updates of then are not published. */
  readonly reason: 'table-rewritten' | 'no-identity';
  readonly oid: number;
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
  readonly commitTime: CommitTime;
}

/** What the transactions of a run said to us. */
export interface OwnWords {
  readonly heartbeats: RunFacts['heartbeats'];
  readonly marks: readonly Mark[];
  readonly missed: readonly Missed[];
  /** Messages of the event triggers, in order: what replay may believe. */
  readonly schemaChanges: NonNullable<RunFacts['schemaChanges']>;
  /** Under our prefix, and not ours (P12). */
  readonly ignored: number;
}

interface Transaction {
  readonly xid: number;
  readonly commitLsn: Lsn;
  readonly commitTime: CommitTime;
  readonly endLsn: Lsn;
}

interface Words {
  heartbeats: RunFacts['heartbeats'];
  marks: Mark[];
  missed: Missed[];
  schemaChanges: NonNullable<RunFacts['schemaChanges']>;
  ignored: number;
}

const PREFIX = 'tidemark:';
const DIGEST_CHARACTERS = 64;
/** Beats whose transaction was rolled back, or never came: not kept for ever. */
const MOST_BEATS = 1000;

/** Nonces that wait for their return, in this process' memory alone. */
export class Beats {
  readonly #waiting = new Map<string, Beat>();

  /** Before the commit: it may come back before the answer to it does. */
  expect(nonce: string, beat: Beat): void {
    this.#waiting.set(nonce, beat);
    for (const oldest of this.#waiting.keys()) {
      if (this.#waiting.size <= MOST_BEATS) break;
      this.#waiting.delete(oldest);
    }
  }

  /** The beat, when its nonce comes in the transaction with the xid that we were given; once. */
  returned(nonce: string, xid32: number): Beat | undefined {
    const beat = this.#waiting.get(nonce);
    if (beat === undefined || Number(beat.xid & 0xffff_ffffn) !== xid32) return undefined;
    return beat;
  }
}

/**
 * Tells our own messages from those that anybody may emit under our prefix (P12), and collects what they say, run by
 * run. Fed with the logical messages of a session as they come; what an open transaction said moves on with it.
 */
export class OwnMessages {
  readonly #beats: Beats;
  readonly #signature: Signature | undefined;
  /** A 64-bit xid of about now. */
  readonly #around: bigint;
  readonly #since: Lsn;
  #open: ((transaction: Transaction, words: Words) => void)[] = [];
  /** Tables that the open transaction has described without a key. */
  readonly #keyless = new Set<string>();
  #words = noWords();

  constructor(options: {
    readonly beats: Beats;
    readonly signature: Signature | undefined;
    readonly around: bigint;
    /** Where the session began: heartbeats that committed before it and are nobody's were written before a restart. */
    readonly since: Lsn;
  }) {
    this.#beats = options.beats;
    this.#signature = options.signature;
    this.#around = options.around;
    this.#since = options.since;
  }

  /** A transactional logical message of the open transaction. */
  message(bytes: Buffer, xid: number): void {
    const decoded = decodeMessage(bytes, 'source');
    if (decoded.kind !== 'message' || !decoded.prefix.startsWith(PREFIX)) return;
    this.#open.push(this.#read(decoded.prefix.slice(PREFIX.length), decoded.content, xid));
  }

  commit(transaction: Transaction): void {
    for (const say of this.#open) say(transaction, this.#words);
    this.#open = [];
    this.#keyless.clear();
  }

  /** Whether a heartbeat has come back since the last call of `take`. */
  get hasHeartbeat(): boolean {
    return this.#words.heartbeats.length > 0;
  }

  /** Of all that has committed since the last call. */
  take(): OwnWords {
    const words = this.#words;
    this.#words = noWords();
    return words;
  }

  #read(kind: string, content: Buffer, xid: number): (transaction: Transaction, words: Words) => void {
    const ignore = (_: Transaction, words: Words): void => void (words.ignored += 1);
    if (kind === 'heartbeat') {
      const beat = this.#beats.returned(nonceOf(content), xid);
      if (beat !== undefined) return (_, words) => void words.heartbeats.push(heartbeatFacts(beat));
      // None of them counts; only what came while nobody else should write is worth a word.
      return (transaction, words) => void (words.ignored += transaction.commitLsn < this.#since ? 0 : 1);
    }
    const body = this.#signature && signedBody(content, this.#signature, xid);
    if (body === undefined || (kind === 'mark') !== (body['kind'] === 'mark')) return ignore;
    if (kind === 'mark') {
      const name = String(body['name']);
      return (transaction, words) =>
        void words.marks.push({ ...transaction, name, xid: widenXid(transaction.xid, this.#around) });
    }
    if (kind !== 'ddl') return ignore;
    const missed = [...rewrittenRelation(body), ...this.#keyedLate(body)];
    const proven = { xid: String(body['xid']), sha256: sha256Hex(content) };
    return (transaction, words) => {
      words.schemaChanges.push(proven);
      for (const table of missed) {
        // One gap for a table and transaction, however often it tells of it.
        const isTold = words.missed.some(
          ({ oid, commitLsn }) => oid === table.oid && commitLsn === transaction.commitLsn,
        );
        if (!isTold) words.missed.push({ ...table, ...transaction });
      }
    };
  }

  /**
   * Tables that get a key later in the transaction that made them: an update in between reaches no publication, and no
   * look at the catalog can tell. Those of other transactions are seen by a look (`judge-tables.ts`).
   */
  #keyedLate(body: Readonly<Record<string, unknown>>): MissedTable[] {
    return relationsOf(body).flatMap(({ oid, schema, name, hasKey }) => {
      if (!hasKey) this.#keyless.add(oid);
      return hasKey && this.#keyless.delete(oid)
        ? [{ oid: Number(oid), schema, name, reason: 'no-identity' as const }]
        : [];
    });
  }
}

/** What is written, and what is looked for when it comes back. Version 2: sequences are read behind its position. */
export function heartbeatMessage(nonce: string, facts: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ version: 2, nonce, ...facts });
}

/** A message that counts: digest, newline, JSON (see `signedBody`). `facts` must have the `xid` of its transaction. */
export function signedMessage(
  facts: Readonly<Record<string, unknown>>,
  { key, sourceId }: Signature,
): Buffer {
  const body = Buffer.from(JSON.stringify({ ...facts, source: sourceId }));
  const digest = createHmac('sha256', key).update(body).digest('hex');
  return Buffer.concat([Buffer.from(`${digest}\n`), body]);
}

function nonceOf(content: Buffer): string {
  const nonce = parseObject(content)?.['nonce'];
  return typeof nonce === 'string' ? nonce : '';
}

/** The JSON of a message whose digest, source and transaction are right. */
function signedBody(
  content: Buffer,
  { key, sourceId }: Signature,
  xid32: number,
): Readonly<Record<string, unknown>> | undefined {
  if (content[DIGEST_CHARACTERS] !== 0x0a) return undefined;
  const body = content.subarray(DIGEST_CHARACTERS + 1);
  const expected = createHmac('sha256', key).update(body).digest();
  const given = Buffer.from(content.toString('latin1', 0, DIGEST_CHARACTERS), 'hex');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  const facts = parseObject(body);
  const xid = facts?.['xid'];
  const isHere =
    typeof xid === 'string' && /^\d{1,20}$/.test(xid) && Number(BigInt(xid) & 0xffff_ffffn) === xid32;
  return isHere && facts?.['source'] === sourceId ? facts : undefined;
}

type MissedTable = Pick<Missed, 'oid' | 'schema' | 'name' | 'reason'>;

function rewrittenRelation(body: Readonly<Record<string, unknown>>): MissedTable[] {
  if (body['kind'] !== 'rewrite') return [];
  const relation = body['relation'] as Readonly<Record<string, unknown>> | undefined;
  if (relation === undefined) return [];
  return [
    {
      oid: Number(relation['oid']),
      schema: String(relation['schema']),
      name: String(relation['name']),
      reason: 'table-rewritten',
    },
  ];
}

/** Tables as a message about a schema change describes them; what can't be read says nothing. */
function relationsOf(
  body: Readonly<Record<string, unknown>>,
): (RelationName & { readonly oid: string; readonly hasKey: boolean })[] {
  const relations: unknown = body['kind'] === 'ddl' ? body['relations'] : undefined;
  if (!Array.isArray(relations)) return [];
  return (relations as readonly Readonly<Record<string, unknown>>[]).flatMap((relation) => {
    if (relation['kind'] !== 'r') return [];
    const indexes = (relation['indexes'] ?? []) as readonly Readonly<Record<string, unknown>>[];
    const hasKey =
      relation['replicaIdentity'] === 'f' ||
      indexes.some((index) => index['primary'] === true || index['replicaIdentity'] === true);
    const { oid, schema, name } = relation;
    return [{ oid: String(oid), schema: String(schema), name: String(name), hasKey }];
  });
}

function heartbeatFacts({ position, xid, at }: Beat): RunFacts['heartbeats'][number] {
  return { position: formatLsn(position), xid: xid.toString(), at: at.toString() };
}

function parseObject(content: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(content.toString('utf8'));
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function noWords(): Words {
  return { heartbeats: [], marks: [], missed: [], schemaChanges: [], ignored: 0 };
}
