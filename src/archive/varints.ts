import { Failure } from '../model/failure.ts';

/** 64 bits in groups of seven. */
const MOST_GROUPS = 10;

/** A growing run of variable-length integers: seven bits a byte, lowest first, 0x80 set on all but the last. */
export class VarintWriter {
  #buffer = Buffer.allocUnsafe(64);
  #at = 0;

  /** 0 to 2^53 - 1. */
  unsigned(value: number): void {
    if (this.#at + MOST_GROUPS > this.#buffer.length) this.#grow();
    let left = value;
    for (; left > 0x7f; left = Math.floor(left / 0x80)) this.#byte((left % 0x80) | 0x80);
    this.#byte(left);
  }

  /** 0 to 2^64 - 1. */
  unsigned64(value: bigint): void {
    if (value <= Number.MAX_SAFE_INTEGER) {
      this.unsigned(Number(value));
      return;
    }
    if (this.#at + MOST_GROUPS > this.#buffer.length) this.#grow();
    let left = value;
    for (; left > 0x7fn; left >>= 7n) this.#byte(Number(left & 0x7fn) | 0x80);
    this.#byte(Number(left));
  }

  /** Of a signed 64-bit number: 0, -1, 1, -2 … become 0, 1, 2, 3 …, so that small ones stay short. */
  signed64(value: bigint): void {
    this.unsigned64(value >= 0n ? value << 1n : (-value << 1n) - 1n);
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  #byte(value: number): void {
    this.#buffer[this.#at] = value;
    this.#at += 1;
  }

  #grow(): void {
    const larger = Buffer.allocUnsafe(this.#buffer.length * 2);
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

/** Undoes `VarintWriter`. Fails with `integrity.format` on what it never writes. */
export class VarintReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  unsigned(): number {
    const value = this.unsigned64();
    if (value > Number.MAX_SAFE_INTEGER) throw broken('has a number that is too large');
    return Number(value);
  }

  unsigned64(): bigint {
    let low = 0;
    let scale = 1;
    for (let group = 0; group < 7; group += 1, scale *= 0x80) {
      const byte = this.#next();
      low += (byte & 0x7f) * scale;
      if (byte < 0x80) return BigInt(low);
    }
    let value = BigInt(low);
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.#next();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80 && value >> 64n === 0n) return value;
    }
    throw broken('has a number that is too large');
  }

  signed64(): bigint {
    const value = this.unsigned64();
    return (value & 1n) === 0n ? value >> 1n : -((value + 1n) >> 1n);
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw broken('goes on behind its end');
  }

  #next(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw broken('ends early');
    this.#at += 1;
    return byte;
  }
}

function broken(what: string): Failure {
  return new Failure('integrity.format', `a column of transactions ${what}`);
}
