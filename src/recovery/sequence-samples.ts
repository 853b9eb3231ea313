import { lsnOf } from '../archive/run-document.ts';
import type { RunFacts } from '../archive/stream-documents.ts';
import type { Lsn } from '../model/lsn.ts';
import type { UsedNumbers } from '../replay/sequences.ts';

export const HEARTBEAT_PREFIX = 'tidemark:heartbeat';

/** Since then, a heartbeat's position is read before its sequences: those are not older than it. */
const POSITION_FIRST = 2;

/**
 * Where sequences were seen, by the heartbeats of a stream. Each tells what has changed since the one before it that
 * tells of sequences, so all of them together say where every sequence was at the last one. Only those count that the
 * runs list: others may have sent a message under the name (P12).
 */
export class SequenceSamples {
  readonly #samples: Map<string, { least: string; most: string }>;
  /** Of the heartbeats in the run that is read: 32-bit xid to position. */
  #ours = new Map<number, Lsn>();
  #knownAt: Lsn | undefined;

  constructor(samples: UsedNumbers['samples'] = new Map()) {
    this.#samples = new Map(samples);
  }

  get samples(): UsedNumbers['samples'] {
    return this.#samples;
  }

  /** The last position at which every sequence is known: no transaction that committed before it took a later number. */
  get knownAt(): Lsn | undefined {
    return this.#knownAt;
  }

  /** To be called before the messages of a run. */
  run({ heartbeats }: Pick<RunFacts, 'heartbeats'>): void {
    for (const { xid, position } of heartbeats)
      this.#ours.set(Number(BigInt(xid) & 0xffff_ffffn), lsnOf(position));
  }

  /** A heartbeat message; false when it is not ours, or does not tell of sequences. */
  message(content: Buffer, xid: number): boolean {
    const position = this.#ours.get(xid);
    if (position === undefined) return false;
    this.#ours.delete(xid);
    const { version, sequences } = JSON.parse(content.toString('utf8')) as {
      readonly version: number;
      readonly sequences?: Readonly<Record<string, string>>;
    };
    if (sequences === undefined) return false;
    for (const [name, value] of Object.entries(sequences)) this.#widen(name, value);
    if (version >= POSITION_FIRST) this.#knownAt = position;
    return true;
  }

  #widen(name: string, value: string): void {
    const { least, most } = this.#samples.get(name) ?? { least: value, most: value };
    this.#samples.set(name, {
      least: BigInt(value) < BigInt(least) ? value : least,
      most: BigInt(value) > BigInt(most) ? value : most,
    });
  }
}
