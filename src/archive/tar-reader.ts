import { Failure } from '../model/failure.ts';

export const TAR_BLOCK_BYTES = 512;

export interface TarEntry {
  readonly name: string;
  readonly sizeBytes: number;
}

/**
 * Reads an archive that `TarWriter` wrote, front to back: plain ustar headers, files only. A general reader would
 * follow extensions into memory of any size; here whatever else a header says is `integrity.format`, an early end
 * `integrity.truncated`, and memory grows only with bytes that have arrived.
 */
export class TarReader implements AsyncDisposable {
  readonly #source: ByteSource;
  #left = 0;
  #padding = 0;

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#source = new ByteSource(body);
  }

  /** The next member; what was not read of the one before is passed over. Undefined at the archive's end. */
  async next(): Promise<TarEntry | undefined> {
    for (; this.#left > TAR_BLOCK_BYTES; this.#left -= TAR_BLOCK_BYTES)
      await this.#source.exactly(TAR_BLOCK_BYTES);
    await this.#source.exactly(this.#left + this.#padding);
    this.#left = 0;
    this.#padding = 0;
    const header = await this.#source.exactly(TAR_BLOCK_BYTES);
    if (isZero(header)) {
      await this.#end();
      return undefined;
    }
    const entry = parseHeader(header);
    this.#left = entry.sizeBytes;
    this.#padding = (TAR_BLOCK_BYTES - (entry.sizeBytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
    return entry;
  }

  /** All that is left of the current member. */
  async content(): Promise<Buffer> {
    const bytes = await this.#source.exactly(this.#left);
    this.#left = 0;
    return bytes;
  }

  /** Lets go of the body, read to its end or not. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.close();
  }

  /** Two zero blocks, perhaps more of them, and nothing else. */
  async #end(): Promise<void> {
    if (!isZero(await this.#source.exactly(TAR_BLOCK_BYTES))) throw broken('goes on behind its end');
    for await (const rest of this.#source.rest()) if (!isZero(rest)) throw broken('goes on behind its end');
  }
}

/** POSIX pax, "ustar Interchange Format". */
function parseHeader(header: Buffer): TarEntry {
  const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  if (octal(header.subarray(148, 156)) !== sum) throw broken('has a header whose checksum is wrong');
  const name = text(header.subarray(0, 100));
  const isPlain =
    header.toString('latin1', 257, 262) === 'ustar' && header[156] === 0x30 && (header[345] ?? 0) === 0;
  if (!isPlain || !/^[\x21-\x7e]{1,99}$/.test(name)) throw broken('has a member that is no plain file');
  return { name, sizeBytes: octal(header.subarray(124, 136)) };
}

function octal(field: Buffer): number {
  const digits = text(field).trim();
  if (!/^[0-7]{1,11}$/.test(digits)) throw broken('has a header that is none');
  return Number.parseInt(digits, 8);
}

function text(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end === -1 ? field.length : end);
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** Takes exact amounts off a stream. */
class ByteSource {
  readonly #body: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#body = body[Symbol.asyncIterator]();
  }

  async exactly(size: number): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    for (let left = size; left > 0;) {
      if (this.#chunk.length === 0 && !(await this.#more())) {
        throw new Failure('integrity.truncated', 'a tar archive ends early');
      }
      const piece = this.#chunk.subarray(0, left);
      this.#chunk = this.#chunk.subarray(piece.length);
      left -= piece.length;
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  }

  async close(): Promise<void> {
    await this.#body.return?.();
  }

  async *rest(): AsyncGenerator<Uint8Array> {
    do yield this.#chunk;
    while (await this.#more());
  }

  async #more(): Promise<boolean> {
    const next = await this.#body.next();
    if (next.done === true) return false;
    this.#chunk = next.value;
    return true;
  }
}

function broken(what: string): Failure {
  return new Failure('integrity.format', `a tar archive ${what}`);
}
