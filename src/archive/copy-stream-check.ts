import { Failure } from '../model/failure.ts';
import type { Manifest } from './manifest.ts';

/** Looks at a COPY stream as it passes, and judges at its end whether it was whole. */
export interface StreamCheck {
  see(chunk: Buffer): void;
  /** Fails with `integrity.row_count` when what was seen does not fit the server's own count. */
  finish(serverRows: bigint): void;
}

/**
 * pg-copy-streams takes an unknown message for the end of the stream, so a stream that ended is not yet a
 * whole one (REPLICATION B1, I 19). Text: every row ends with a newline, inner ones are escaped. Binary: the
 * signature in front and the trailer at the end (COPY, "Binary Format").
 */
export function streamCheck(format: Manifest['copyFormat']): StreamCheck {
  return format === 'text' ? new TextCheck() : new BinaryCheck();
}

class TextCheck implements StreamCheck {
  #newlines = 0;
  #bytes = 0;

  see(chunk: Buffer): void {
    const rowBytes = this.#newlines === 0 ? 0 : this.#bytes / this.#newlines;
    this.#newlines += rowBytes < 64 ? newlinesByByte(chunk) : newlinesBySearch(chunk);
    this.#bytes += chunk.length;
  }

  finish(serverRows: bigint): void {
    if (BigInt(this.#newlines) === serverRows) return;
    throw new Failure(
      'integrity.row_count',
      `the server counted ${serverRows} rows, ${this.#newlines} arrived`,
      {
        facts: { serverRows: serverRows.toString(), arrivedRows: this.#newlines },
      },
    );
  }
}

/** A native search costs about 60 ns a row whatever its length, a loop about 1 ns a byte. */
function newlinesBySearch(chunk: Buffer): number {
  let count = 0;
  for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) count += 1;
  return count;
}

function newlinesByByte(chunk: Buffer): number {
  let count = 0;
  for (let at = 0; at < chunk.length; at += 1) if (chunk[at] === 10) count += 1;
  return count;
}

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
const TRAILER = Buffer.from([0xff, 0xff]);

class BinaryCheck implements StreamCheck {
  #head = Buffer.alloc(0);
  #tail = Buffer.alloc(0);

  see(chunk: Buffer): void {
    if (this.#head.length < SIGNATURE.length) this.#head = Buffer.concat([this.#head, chunk.subarray(0, 32)]);
    this.#tail = Buffer.concat([this.#tail, chunk.subarray(-2)]).subarray(-2);
  }

  finish(): void {
    if (this.#head.subarray(0, SIGNATURE.length).equals(SIGNATURE) && this.#tail.equals(TRAILER)) return;
    throw new Failure('integrity.row_count', 'a binary COPY stream ended without its trailer');
  }
}
