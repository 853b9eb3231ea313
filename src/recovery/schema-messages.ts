import { sha256Hex } from '../archive/digest.ts';
import type { RunFacts } from '../archive/stream-documents.ts';

export const DDL_PREFIX = 'tidemark:ddl';

/** `ignored`: not written by the source's event triggers. `unproven`: nobody has looked, the stream is older than that. */
export type SchemaMessageWorth = 'proven' | 'ignored' | 'unproven';

/**
 * Which messages about schema changes may be believed: those that the runs list, whose writer held the key (P12).
 * Anybody may send one under the name, a copy of one of ours too: that lies in another transaction.
 */
export class SchemaMessages {
  readonly #proven = new Set<string>();
  #hasList = false;

  /** To be called before the messages of a run. */
  run({ schemaChanges }: Pick<RunFacts, 'schemaChanges'>): void {
    this.#hasList = schemaChanges !== undefined;
    for (const { xid, sha256 } of schemaChanges ?? [])
      this.#proven.add(keyOf(Number(BigInt(xid) & 0xffff_ffffn), sha256));
  }

  /** Of a message `tidemark:ddl` in the transaction with that 32-bit xid. */
  worth(content: Buffer, xid: number): SchemaMessageWorth {
    if (!this.#hasList) return 'unproven';
    return this.#proven.has(keyOf(xid, sha256Hex(content))) ? 'proven' : 'ignored';
  }
}

function keyOf(xid: number, sha256: string): string {
  return `${xid} ${sha256}`;
}
