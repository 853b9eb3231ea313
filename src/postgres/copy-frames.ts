/** Message type of CopyData (manual, "Message Formats"). */
const COPY_DATA = 0x64;
/** Type and length; the length counts itself and not the type. */
const HEADER_BYTES = 5;
const LENGTH_BYTES = 4;

/** Where the parts of a server's byte stream go. */
export interface FrameSink {
  /** Content of CopyData messages, in order. Says how much of `bytes[from, to)` it took. */
  data(bytes: Buffer, from: number, to: number): number;
  /** Every other message, whole, in a buffer of its own. False: the bytes after it are not for us. */
  message(bytes: Buffer): boolean;
}

/**
 * Parts the bytes that a server sends during COPY … TO STDOUT into the content of CopyData and all other
 * messages (protocol 3.0, "COPY Operations"), wherever the chunks are cut.
 */
export class CopyFrames {
  /** CopyData messages that ended so far. */
  dataMessages = 0;
  readonly #sink: FrameSink;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  /** Bytes of the message's content that have not come yet. Valid with a whole header. */
  #left = 0;
  /** What came of a message that is not CopyData, header included. */
  #other: Buffer[] = [];

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** How much of the chunk was used: less than all when the sink took less, or wants no more. */
  push(chunk: Buffer): number {
    let at = 0;
    for (;;) {
      if (this.#headerBytes < HEADER_BYTES) {
        at = this.#readHeader(chunk, at);
        if (this.#headerBytes < HEADER_BYTES) return at;
      }
      const isData = this.#header[0] === COPY_DATA;
      const to = Math.min(chunk.length, at + this.#left);
      const taken = isData ? this.#sink.data(chunk, at, to) : this.#keep(chunk.subarray(at, to));
      at += taken;
      this.#left -= taken;
      if (this.#left > 0) return at;
      this.#headerBytes = 0;
      if (isData) this.dataMessages += 1;
      else if (!this.#sink.message(this.#takeOther())) return at;
    }
  }

  #readHeader(chunk: Buffer, start: number): number {
    let at = start;
    while (at < chunk.length && this.#headerBytes < HEADER_BYTES) {
      this.#header[this.#headerBytes] = chunk[at] ?? 0;
      this.#headerBytes += 1;
      at += 1;
    }
    if (this.#headerBytes < HEADER_BYTES) return at;
    this.#left = this.#header.readUInt32BE(1) - LENGTH_BYTES;
    if (this.#left < 0) throw new Error('the server sent a message of no possible length');
    if (this.#header[0] !== COPY_DATA) this.#keep(this.#header);
    return at;
  }

  #keep(bytes: Buffer): number {
    this.#other.push(Buffer.from(bytes));
    return bytes.length;
  }

  #takeOther(): Buffer {
    const message = Buffer.concat(this.#other);
    this.#other = [];
    return message;
  }
}
