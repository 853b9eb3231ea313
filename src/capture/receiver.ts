import { RunWriter } from '../archive/run-writer.ts';
import type { TakenPart, TakenRun } from '../archive/run-writer.ts';
import { segmentEncoder } from '../archive/segment-writer.ts';
import type { Sealer } from '../archive/age.ts';
import type { CommitTime } from '../model/commit-time.ts';
import type { Lsn } from '../model/lsn.ts';
import { TAG } from '../pgoutput/peek.ts';
import { TransactionAssembler } from '../pgoutput/transaction-assembler.ts';
import type { Held } from './machine.ts';
import { OverlapProof } from './overlap.ts';
import type { Overlap } from './overlap.ts';
import type { OwnMessages, OwnWords } from './own-messages.ts';

const MEMBER_BYTES = 4 * 1024 * 1024;
/** Schema tidemark is no part of the database that is protected: what it says comes as messages. */
const OWN_SCHEMA = 'tidemark';

/** From one session's messages to runs. Synchronous: it is fed from the socket. Never used for a second session. */
export class Receiver {
  readonly #assembler: TransactionAssembler;
  readonly #writer: RunWriter;
  readonly #own: OwnMessages;
  readonly #ownRelations = new Set<number>();
  readonly #overlap: OverlapProof | undefined;
  /** The session's first heartbeat went on its way to the store: snapshots wait for it, and it is lost with the process. */
  #hasBeaten = false;
  /** Commits that were seen, ours included. */
  commits = 0;
  /** What was sent again is not what is stored: nothing of this session may be stored. */
  hasDiverged = false;

  constructor(options: {
    readonly start: Lsn;
    readonly latestCommitTime: CommitTime | undefined;
    readonly sealer: Sealer | undefined;
    readonly own: OwnMessages;
    readonly overlap: Overlap | undefined;
  }) {
    const { start, latestCommitTime, sealer, own, overlap } = options;
    this.#own = own;
    this.#overlap = overlap && new OverlapProof(overlap);
    this.#assembler = new TransactionAssembler({ start, origin: 'source' });
    this.#writer = new RunWriter({
      from: start,
      latestCommitTime,
      inForce: this.#assembler.relations,
      memberBytes: MEMBER_BYTES,
      encode: segmentEncoder(sealer),
    });
  }

  get held(): Held {
    const { isOpen, endLsn } = this.#assembler;
    return {
      end: this.#writer.transactions > 0 ? this.#writer.end : endLsn,
      open: isOpen,
      transactions: this.#writer.transactions,
      wholeBytes: this.#writer.wholeBytes,
      openBytes: this.#writer.openBytes,
      urgent: !this.#hasBeaten && this.#own.hasHeartbeat,
    };
  }

  /** The commit that the open transaction is before. */
  get finalLsn(): Lsn {
    return this.#assembler.commitLsn;
  }

  /** Copies what it keeps. Fails with `source.protocol`. */
  feed(message: Buffer): void {
    const assembler = this.#assembler;
    const writer = this.#writer;
    const step = assembler.feed(message);
    if (step === 'begin') this.reached(assembler.commitLsn);
    if (this.hasDiverged) return;
    switch (step) {
      case 'change':
        if (this.#ownRelations.size > 0 && this.#ownRelations.has(assembler.relation)) break;
        writer.change(message, assembler.relation);
        break;
      case 'begin':
        writer.begin(message, assembler);
        break;
      case 'commit':
        writer.commit(message, assembler.endLsn);
        this.#own.commit(assembler);
        this.commits += 1;
        break;
      case 'empty':
        writer.commitEmpty(assembler.endLsn);
        break;
      case 'definition':
        this.#define(message);
        break;
      case 'truncate':
        if (assembler.truncated.every((oid) => this.#ownRelations.has(oid))) break;
        writer.truncate(message, assembler.truncated);
        break;
      case 'other':
        if (assembler.tag === TAG.message) this.#own.message(message, assembler.xid);
        writer.add(message);
        break;
      case 'outside':
        break;
      case 'dropped':
        this.#compare(message);
        break;
    }
  }

  /** All that the server sends before a position, it has sent. */
  reached(position: Lsn): void {
    if (this.#overlap?.allowsPosition(position) === false) this.hasDiverged = true;
  }

  takeRun(to: Lsn): { readonly taken: TakenRun; readonly words: OwnWords } {
    this.#hasBeaten ||= this.#own.hasHeartbeat;
    return { taken: this.#writer.takeRun(to), words: this.#own.take() };
  }

  takePart(): TakenPart {
    return this.#writer.takePart();
  }

  #define(message: Buffer): void {
    if (!this.#isOwn()) this.#writer.describe(message, this.#assembler.relation);
  }

  #compare(message: Buffer): void {
    if (this.#overlap?.allows(message, this.#assembler) === false) this.hasDiverged = true;
    // A definition is sent once, and holds for what comes behind.
    this.#isOwn();
  }

  /** Whether a definition is of a relation of ours, whose rows are not stored. */
  #isOwn(): boolean {
    const { relation, tag, relations } = this.#assembler;
    const isOwn = tag === TAG.relation && relations.get(relation)?.relation.schema === OWN_SCHEMA;
    if (isOwn) this.#ownRelations.add(relation);
    return isOwn;
  }
}
