import { release } from './external-memory.ts';
import { RECORD_HEADER_BYTES } from './record.ts';

/** A member that is being encoded, or is. */
export interface CutMember {
  readonly plainBytes: number;
  readonly stored: Promise<Buffer>;
}

const NOTHING = Buffer.alloc(0);

/** A native copy costs some 60 ns whatever its length, a loop about 1 ns a byte. */
const SHORT_BYTES = 48;

/**
 * Collects records and cuts them into members, which are encoded while more arrives. A member holds whole
 * transactions only, or a slice of a single one: so what has committed can always be taken, and what is open stays.
 * Memory: one member's plaintext (or the largest message), and what was cut and not yet taken.
 */
export class RecordBuffer {
  readonly #memberBytes: number;
  readonly #encode: (plain: Buffer) => Promise<Buffer>;
  #buffer = NOTHING;
  #at = 0;
  /** Where the open transaction begins in the buffer: 0 when slices of it were cut. */
  #openAt: number | undefined;
  #whole: CutMember[] = [];
  #wholeCutBytes = 0;
  #slices: CutMember[] = [];
  #slicedBytes = 0;

  constructor(options: {
    readonly memberBytes: number;
    readonly encode: (plain: Buffer) => Promise<Buffer>;
  }) {
    this.#memberBytes = options.memberBytes;
    this.#encode = options.encode;
  }

  /** Plaintext that belongs to no open transaction. */
  get wholeBytes(): number {
    return this.#wholeCutBytes + (this.#openAt ?? this.#at);
  }

  /** Plaintext of the open transaction, as far as it was not taken. */
  get openBytes(): number {
    return this.#openAt === undefined ? 0 : this.#slicedBytes + this.#at - this.#openAt;
  }

  /** Copies a message. */
  append(message: Buffer): void {
    const { length } = message;
    if (this.#at + RECORD_HEADER_BYTES + length > this.#buffer.length) this.#makeRoom(length);
    const buffer = this.#buffer;
    let at = this.#at;
    buffer[at] = length >>> 24;
    buffer[at + 1] = length >>> 16;
    buffer[at + 2] = length >>> 8;
    buffer[at + 3] = length;
    buffer[at + 4] = 0;
    at += RECORD_HEADER_BYTES;
    if (length > SHORT_BYTES) message.copy(buffer, at);
    else for (let from = 0; from < length; from += 1) buffer[at + from] = message[from] ?? 0;
    this.#at = at + length;
  }

  /** What is appended from here on belongs to one transaction, until `commit` or `rewind`. */
  begin(): void {
    this.#openAt = this.#at;
  }

  commit(): void {
    for (const slice of this.#slices) this.#whole.push(slice);
    this.#wholeCutBytes += this.#slicedBytes;
    this.#forgetOpen();
  }

  /** Back to `begin`. */
  rewind(): void {
    this.#at = this.#openAt ?? this.#at;
    this.#forgetOpen();
  }

  /** Members of all that is whole; the open transaction stays. */
  takeWhole(): CutMember[] {
    this.#cutWhole();
    const taken = this.#whole;
    this.#whole = [];
    this.#wholeCutBytes = 0;
    return taken;
  }

  /** Members of the open transaction so far, which stays open. Only when nothing whole is left. */
  takeOpen(): CutMember[] {
    if (this.#openAt === undefined || this.wholeBytes > 0)
      throw new TypeError('whole transactions come first');
    this.#cutSlice();
    const taken = this.#slices;
    this.#slices = [];
    this.#slicedBytes = 0;
    return taken;
  }

  #makeRoom(length: number): void {
    this.#cutWhole();
    const needed = RECORD_HEADER_BYTES + length;
    if (this.#openAt !== undefined && this.#at + needed > this.#memberBytes) this.#cutSlice();
    if (this.#at + needed <= this.#buffer.length) return;
    // Of its own memory, so that it can be given back.
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#memberBytes, this.#at + needed));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }

  /** Cuts what precedes the open transaction, which moves into a buffer of its own. */
  #cutWhole(): void {
    const end = this.#openAt ?? this.#at;
    if (end === 0) return;
    const rest = this.#buffer.subarray(end, this.#at);
    const buffer =
      rest.length === 0 ? NOTHING : Buffer.allocUnsafeSlow(Math.max(this.#memberBytes, rest.length));
    rest.copy(buffer);
    this.#whole.push(this.#cut(end));
    this.#wholeCutBytes += end;
    this.#buffer = buffer;
    this.#at = rest.length;
    if (this.#openAt !== undefined) this.#openAt = 0;
  }

  #cutSlice(): void {
    if (this.#at === 0) return;
    this.#slices.push(this.#cut(this.#at));
    this.#slicedBytes += this.#at;
    this.#buffer = NOTHING;
    this.#at = 0;
  }

  #cut(end: number): CutMember {
    const buffer = this.#buffer;
    const stored = this.#encode(buffer.subarray(0, end)).finally(() => release(buffer));
    // Heard by whoever takes the member.
    stored.catch(() => undefined);
    return { plainBytes: end, stored };
  }

  #forgetOpen(): void {
    this.#slices = [];
    this.#slicedBytes = 0;
    this.#openAt = undefined;
  }
}
