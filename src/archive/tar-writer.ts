import { once } from 'node:events';
import { pack } from 'tar-stream';
import type { Pack } from 'tar-stream';
import { release } from './external-memory.ts';

const BLOCK_BYTES = 512;
/** Two zero blocks end an archive (POSIX pax, "ustar Interchange Format"). */
const END_BYTES = 2 * BLOCK_BYTES;

/**
 * Writes a tar archive as a stream and knows where each member's content lies. `body` is to be read at once,
 * by a store's put, which is done with a chunk when it asks for the next; `add` resolves when the reader has taken the
 * bytes or has room for them.
 */
export class TarWriter {
  readonly body: AsyncIterable<Uint8Array>;
  readonly #pack: Pack;
  readonly #modified: Date;
  readonly #contents = new Set<Uint8Array>();
  #position = 0;
  #emitted = 0;
  #error: Error | undefined;

  constructor(options: { readonly modified: Date }) {
    this.#modified = options.modified;
    this.#pack = pack();
    this.#pack.on('error', (error) => (this.#error ??= error));
    this.body = this.#count();
  }

  /**
   * Appends a member. Offset of its first content byte in the archive. The content's memory is released when it was
   * read.
   */
  async add(name: string, content: Uint8Array): Promise<{ readonly offset: number }> {
    if (!/^[\x21-\x7e]{1,99}$/.test(name)) throw new TypeError('a member’s name fits no plain tar header');
    if (this.#error !== undefined) throw this.#error;
    const offset = this.#position + BLOCK_BYTES;
    this.#position = offset + Math.ceil(content.length / BLOCK_BYTES) * BLOCK_BYTES;
    const header = {
      name,
      size: content.length,
      mode: 0o600,
      mtime: this.#modified,
      uid: 0,
      gid: 0,
      type: 'file' as const,
    };
    await new Promise<void>((resolve, reject) => {
      const failed = (): void => reject(this.#error ?? new Error('the archive was closed'));
      this.#pack.once('close', failed);
      const entry = this.#pack.entry(header, (error) => {
        this.#pack.off('close', failed);
        if (error) reject(error);
        else resolve();
      });
      // Its own error is the pack's, told by the callback; unheard it would end the process.
      entry.on('error', () => undefined);
      this.#contents.add(content);
      entry.end(content);
    });
    return { offset };
  }

  /** Writes the end and waits until all was read. Fails when the archive is not as long as the offsets say. */
  async finish(): Promise<{ readonly sizeBytes: number }> {
    if (this.#error !== undefined) throw this.#error;
    this.#pack.finalize();
    if (this.#emitted < this.#position + END_BYTES) await once(this.#pack, 'end');
    if (this.#emitted !== this.#position + END_BYTES) {
      throw new Error(`tar: ${this.#emitted} bytes written, ${this.#position + END_BYTES} expected`);
    }
    return { sizeBytes: this.#emitted };
  }

  /** The reader of `body` and whoever waits in `add` or `finish` get the error. */
  abort(error: Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#pack.destroy(error);
  }

  async *#count(): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#pack as AsyncIterable<Uint8Array>) {
      this.#emitted += chunk.length;
      yield chunk;
      // Not a header or padding, which tar-stream uses again.
      if (this.#contents.delete(chunk)) release(chunk);
    }
  }
}
