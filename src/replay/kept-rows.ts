const CHUNK_BYTES = 256 * 1024;

/**
 * Copies of messages that wait, side by side in larger pieces of memory: the member that they came from goes, and memory
 * of its own for each row costs more than all else that is done with it. A piece lives as long as anything that looks at it.
 */
export class KeptRows {
  #chunk = Buffer.alloc(0);
  #used = 0;

  keep(message: Buffer): {
    readonly bytes: Buffer;
    readonly place: { readonly start: number; readonly end: number };
  } {
    const { length } = message;
    if (length > this.#chunk.length - this.#used) {
      // Not from node's pool, whose slices begin anywhere.
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, length));
      this.#used = 0;
    }
    const start = this.#used;
    message.copy(this.#chunk, start);
    this.#used += length;
    return { bytes: this.#chunk, place: { start, end: this.#used } };
  }
}
