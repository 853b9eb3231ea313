import { encodePart } from '../archive/codec.ts';
import { streamCheck } from '../archive/copy-stream-check.ts';
import { sha256Hex } from '../archive/digest.ts';
import type { Sealer } from '../archive/age.ts';
import type { CodecThreads } from '../archive/codec-threads.ts';
import type { Compression, Manifest } from '../archive/manifest.ts';
import { PART_BYTES, memberName } from '../archive/member-name.ts';
import { Failure } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import type { Connection, CopyReceived } from '../postgres/connection.ts';
import { CopyBuffers } from '../postgres/copy-out.ts';
import type { ArchiveOutput } from './archive-output.ts';
import { copyOutStatement } from './copy-statement.ts';
import type { PlannedRange } from './plan.ts';

/** Parts being compressed or written at once by one worker. */
const PARTS_IN_FLIGHT = 2;

/** What one worker needs to copy: the parts in flight, and the one that fills. */
export function partBuffers(): CopyBuffers {
  return new CopyBuffers({ bytes: PART_BYTES, most: PARTS_IN_FLIGHT + 1 });
}

export interface CopyHow {
  readonly format: Manifest['copyFormat'];
  readonly encoding: string;
  readonly compression: Compression;
  readonly sealer: Sealer | undefined;
  readonly threads: CodecThreads;
}

export interface CopiedRange {
  readonly rows: bigint;
  readonly copyBytes: bigint;
  readonly storedBytes: bigint;
}

interface CopyJob {
  readonly range: PlannedRange;
  readonly how: CopyHow;
  readonly buffers: CopyBuffers;
  readonly onBytes: (bytes: number) => void;
}

/**
 * Runs one COPY command and stores what it sends as parts in order. The row count is the server's own and has
 * been checked against what arrived. An empty range has one empty part, so that every range has a member.
 */
export async function copyRange(
  connection: Connection,
  output: ArchiveOutput,
  job: CopyJob,
): Promise<CopiedRange> {
  const { range, how, buffers } = job;
  const { relation, ranges } = range.table;
  const parts = new PartWriter(output, job);
  const binary = how.format === 'binary' ? streamCheck('binary') : undefined;
  const copy = connection.copyOut(copyOutStatement(relation, ranges[range.index] ?? {}, how), buffers);
  try {
    for await (const bytes of copy) {
      binary?.see(bytes);
      job.onBytes(bytes.length);
      await parts.write(bytes);
    }
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'source.row_too_large') throw error;
    throw new Failure(error.code, `a row of ${displayRelation(relation)} is too large: ${error.message}`, {
      facts: { ...error.facts, table: displayRelation(relation) },
      cause: error,
    });
  }
  const received = copy.received();
  binary?.finish(received.rows);
  const written = await parts.finish();
  refuseLoss(received, { format: how.format, copyBytes: written.copyBytes });
  output.endRange(received.rows);
  return { rows: received.rows, ...written };
}

/** The server counts rows, we count the messages that bring them, and the bytes that went into parts. */
export function refuseLoss(
  received: CopyReceived,
  stored: { readonly format: CopyHow['format']; readonly copyBytes: bigint },
): void {
  const { rows, messages, bytes } = received;
  if (stored.copyBytes !== BigInt(bytes)) {
    throw new Failure('integrity.row_count', `${bytes} bytes arrived, ${stored.copyBytes} were stored`, {
      facts: { arrivedBytes: bytes, storedBytes: stored.copyBytes.toString() },
    });
  }
  if (stored.format === 'text' && BigInt(messages) !== rows) {
    throw new Failure('integrity.row_count', `the server counted ${rows} rows, ${messages} arrived`, {
      facts: { serverRows: rows.toString(), arrivedRows: messages },
    });
  }
}

/** Compresses some parts at once and hands them on in order. */
class PartWriter {
  readonly #output: ArchiveOutput;
  readonly #job: CopyJob;
  readonly #inFlight: Promise<void>[] = [];
  #last: Promise<void> = Promise.resolve();
  #parts = 0;
  #copyBytes = 0n;
  #storedBytes = 0n;

  constructor(output: ArchiveOutput, job: CopyJob) {
    this.#output = output;
    this.#job = job;
  }

  /** Takes the bytes, and gives their buffer back when they are stored. */
  async write(bytes: Buffer): Promise<void> {
    const part = this.#parts;
    this.#parts += 1;
    this.#copyBytes += BigInt(bytes.length);
    const encoded = encodePart(bytes, this.#job.how);
    const before = this.#last;
    this.#last = (async () => {
      const [stored] = await Promise.all([encoded, before]);
      const copyBytes = bytes.length;
      if (copyBytes > 0) this.#job.buffers.give(bytes);
      await this.#store(part, copyBytes, stored);
    })();
    this.#last.catch(() => undefined);
    this.#inFlight.push(this.#last);
    if (this.#inFlight.length >= PARTS_IN_FLIGHT) await this.#inFlight.shift();
  }

  async finish(): Promise<{ copyBytes: bigint; storedBytes: bigint }> {
    if (this.#parts === 0) await this.write(Buffer.alloc(0));
    await this.#last;
    return { copyBytes: this.#copyBytes, storedBytes: this.#storedBytes };
  }

  async #store(part: number, copyBytes: number, stored: Buffer): Promise<void> {
    const { table, index } = this.#job.range;
    const name = memberName({
      table: table.number,
      schema: table.relation.schema,
      name: table.relation.name,
      range: index,
      part,
      compression: this.#job.how.compression,
      encrypted: this.#job.how.sealer !== undefined,
    });
    this.#storedBytes += BigInt(stored.length);
    await this.#output.add(
      { name, sha256: sha256Hex(stored), table: table.number, range: index, part, copyBytes },
      stored,
    );
  }
}
