import { encodePart } from '../archive/codec.ts';
import { sha256Hex } from '../archive/digest.ts';
import type { Sealer } from '../archive/age.ts';
import type { Compression, Manifest } from '../archive/manifest.ts';
import { memberName } from '../archive/member-name.ts';
import type { Connection } from '../postgres/connection.ts';
import type { ArchiveOutput } from './archive-output.ts';
import { copyOutStatement } from './copy-statement.ts';
import type { PlannedRange } from './plan.ts';
import { streamCheck } from '../archive/copy-stream-check.ts';

/** COPY bytes in one part: bounds memory, and what a reader must hold to check a digest. */
const PART_BYTES = 4 * 1024 * 1024;
/** Parts being compressed or written at once by one worker. */
const PARTS_IN_FLIGHT = 2;

export interface CopyHow {
  readonly format: Manifest['copyFormat'];
  readonly encoding: string;
  readonly compression: Compression;
  readonly sealer: Sealer | undefined;
}

export interface CopiedRange {
  readonly rows: bigint;
  readonly copyBytes: bigint;
  readonly storedBytes: bigint;
}

/**
 * Runs one COPY command and stores what it sends as parts in order. The row count is the server's own and has
 * been checked against the stream. An empty range has one empty part, so that every range has a member.
 */
export async function copyRange(
  connection: Connection,
  output: ArchiveOutput,
  options: { readonly range: PlannedRange; readonly how: CopyHow; readonly onBytes: (bytes: number) => void },
): Promise<CopiedRange> {
  const { range, how } = options;
  const { relation, ranges } = range.table;
  const parts = new PartWriter(output, { range, how });
  const check = streamCheck(how.format);
  const copy = connection.copyOut(copyOutStatement(relation, ranges[range.index] ?? {}, how));
  for await (const chunk of copy) {
    check.see(chunk);
    await parts.write(chunk);
    options.onBytes(chunk.length);
  }
  const rows = await copy.rows();
  check.finish(rows);
  const written = await parts.finish();
  output.endRange(rows);
  return { rows, ...written };
}

/** Slices a stream into parts, compresses some at once, and hands them on in order. */
class PartWriter {
  readonly #output: ArchiveOutput;
  readonly #range: PlannedRange;
  readonly #how: CopyHow;
  readonly #free: Buffer[] = [];
  readonly #inFlight: Promise<void>[] = [];
  #last: Promise<void> = Promise.resolve();
  #buffer: Buffer;
  #filled = 0;
  #parts = 0;
  #copyBytes = 0n;
  #storedBytes = 0n;

  constructor(output: ArchiveOutput, options: { readonly range: PlannedRange; readonly how: CopyHow }) {
    this.#output = output;
    this.#range = options.range;
    this.#how = options.how;
    this.#buffer = Buffer.allocUnsafeSlow(PART_BYTES);
  }

  async write(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length;) {
      const taken = chunk.copy(this.#buffer, this.#filled, at);
      at += taken;
      this.#filled += taken;
      if (this.#filled === PART_BYTES) await this.#flush();
    }
  }

  async finish(): Promise<{ copyBytes: bigint; storedBytes: bigint }> {
    if (this.#filled > 0 || this.#parts === 0) await this.#flush();
    await this.#last;
    return { copyBytes: this.#copyBytes, storedBytes: this.#storedBytes };
  }

  async #flush(): Promise<void> {
    const bytes = this.#buffer.subarray(0, this.#filled);
    const whole = this.#buffer;
    const part = this.#parts;
    this.#parts += 1;
    this.#copyBytes += BigInt(bytes.length);
    const encoded = encodePart(bytes, this.#how);
    const before = this.#last;
    this.#last = (async () => {
      const [stored] = await Promise.all([encoded, before]);
      await this.#store(part, bytes.length, stored);
      // Uncompressed, unsealed parts are the buffer itself: it may still be on its way.
      if (this.#how.compression !== 'none') this.#free.push(whole);
    })();
    this.#last.catch(() => undefined);
    this.#inFlight.push(this.#last);
    if (this.#inFlight.length >= PARTS_IN_FLIGHT) await this.#inFlight.shift();
    this.#buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(PART_BYTES);
    this.#filled = 0;
  }

  async #store(part: number, copyBytes: number, stored: Buffer): Promise<void> {
    const { table, index } = this.#range;
    const name = memberName({
      table: table.number,
      schema: table.relation.schema,
      name: table.relation.name,
      range: index,
      part,
      compression: this.#how.compression,
      encrypted: this.#how.sealer !== undefined,
    });
    this.#storedBytes += BigInt(stored.length);
    await this.#output.add(
      { name, sha256: sha256Hex(stored), table: table.number, range: index, part, copyBytes },
      stored,
    );
  }
}
