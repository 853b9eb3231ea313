import { Failure } from '../model/failure.ts';

/** Where a message came from, which is whose fault it is: the server now, or what was stored. */
export type MessageOrigin = 'source' | 'storage';

/** Fails with `source.protocol` or `integrity.format`. Never quotes bytes of the message: they are row values. */
export function wrongMessage(origin: MessageOrigin, what: string, tag?: number): Failure {
  const code = origin === 'source' ? 'source.protocol' : 'integrity.format';
  const named = tag === undefined ? '' : ` of type ${tagText(tag)}`;
  return new Failure(code, `a pgoutput message${named} ${what}`, tag === undefined ? {} : { facts: { tag } });
}

function tagText(tag: number): string {
  return tag > 0x20 && tag < 0x7f ? String.fromCodePoint(tag) : `0x${tag.toString(16)}`;
}

/** Where a message stands among others' bytes. */
export interface MessagePlace {
  readonly start: number;
  readonly end: number;
}

/** Takes fields off one message, front to back. Every length is checked; what is handed out are views. */
export class MessageReader {
  /** The message's, or of more than it: positions are of these. */
  readonly bytes: Buffer;
  readonly #origin: MessageOrigin;
  readonly #start: number;
  readonly #end: number;
  #at: number;

  constructor(bytes: Buffer, origin: MessageOrigin, place?: MessagePlace) {
    this.bytes = bytes;
    this.#origin = origin;
    this.#start = place?.start ?? 0;
    this.#end = place?.end ?? bytes.length;
    this.#at = this.#start;
  }

  get at(): number {
    return this.#at;
  }

  byte(): number {
    return this.bytes[this.#take(1)] ?? 0;
  }

  uint16(): number {
    return this.bytes.readUInt16BE(this.#take(2));
  }

  uint32(): number {
    return this.bytes.readUInt32BE(this.#take(4));
  }

  int32(): number {
    return this.bytes.readInt32BE(this.#take(4));
  }

  uint64(): bigint {
    return this.bytes.readBigUInt64BE(this.#take(8));
  }

  int64(): bigint {
    return this.bytes.readBigInt64BE(this.#take(8));
  }

  /** A length that the server writes as int32: a negative one is damage, not a large one. */
  length(): number {
    const length = this.int32();
    if (length < 0) throw this.wrong('has a negative length');
    return length;
  }

  /** int16 in the protocol; a table has at most 1600 columns. */
  columns(): number {
    const count = this.uint16();
    if (count > 0x7fff) throw this.wrong('has a negative number of columns');
    return count;
  }

  skip(length: number): void {
    this.#take(length);
  }

  view(length: number): Buffer {
    const start = this.#take(length);
    return this.bytes.subarray(start, start + length);
  }

  /** NUL-terminated; in the encoding of the connection, which is UTF-8. */
  text(): string {
    const end = this.bytes.indexOf(0, this.#at);
    if (end === -1 || end >= this.#end) throw this.wrong('has text without an end');
    const text = this.bytes.toString('utf8', this.#at, end);
    this.#at = end + 1;
    return text;
  }

  end(): void {
    if (this.#at !== this.#end) throw this.wrong('goes on behind its end');
  }

  wrong(what: string): Failure {
    return wrongMessage(this.#origin, what, this.bytes[this.#start]);
  }

  #take(length: number): number {
    const start = this.#at;
    if (length > this.#end - start) throw this.wrong('ends early');
    this.#at = start + length;
    return start;
  }
}
