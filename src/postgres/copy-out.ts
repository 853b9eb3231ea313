import type { Socket } from 'node:net';
import type { Connection as PgConnection, Submittable } from 'pg';
import { CopyFrames } from './copy-frames.ts';
import { ReceiveSocket } from './receive-socket.ts';

/**
 * Buffers that a COPY fills and its reader gives back: at most `most` of `bytes` each are ever made. They are shared
 * with the threads that compress.
 */
export class CopyBuffers {
  readonly bytes: number;
  readonly #most: number;
  readonly #free: Buffer[] = [];
  #made = 0;
  #waiting: (() => void) | undefined;

  constructor(size: { readonly bytes: number; readonly most: number }) {
    this.bytes = size.bytes;
    this.#most = size.most;
  }

  /** Undefined when all are out; `whenFree` is then called once, as soon as one is back. */
  take(whenFree: () => void): Buffer | undefined {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#made < this.#most) {
      this.#made += 1;
      return Buffer.from(new SharedArrayBuffer(this.bytes));
    }
    this.#waiting = whenFree;
    return undefined;
  }

  /** Gives back what a CopyOut yielded. Its bytes are gone with this call. */
  give(buffer: Buffer): void {
    this.#free.push(buffer.length === this.bytes ? buffer : Buffer.from(buffer.buffer));
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }
}

/**
 * One COPY … TO STDOUT as a query of node-postgres. It takes the rows' bytes off the wire before node-postgres
 * sees them, straight into the reader's buffers; every other message is left to node-postgres, which tells by
 * CommandComplete and ReadyForQuery whether the command ended well.
 *
 * Not by pg-copy-streams, whose buffer for every chunk and slice for every row cost as much CPU time as the
 * compression (`npm run bench`), and which takes an unknown message for the end of the data (REPLICATION B1).
 */
export class CopyOutQuery implements Submittable {
  readonly #statement: string;
  readonly #buffers: CopyBuffers;
  readonly #frames: CopyFrames;
  #socket: Socket | undefined;
  /** node-postgres' own reader of the socket, while this one stands in its place. */
  #messages: ((bytes: Buffer) => void) | undefined;
  /** Received, not used: there was no buffer to fill. The socket is paused as long as there is some. */
  #rest: Buffer | undefined;
  #filling: Buffer | undefined;
  #filled = 0;
  readonly #ready: Buffer[] = [];
  #ended = false;
  #error: Error | undefined;
  #rows: bigint | undefined;
  #bytes = 0;
  #wake: (() => void) | undefined;

  constructor(statement: string, buffers: CopyBuffers) {
    this.#statement = statement;
    this.#buffers = buffers;
    this.#frames = new CopyFrames({
      data: (bytes, from, to) => this.#fill(bytes, from, to),
      message: (bytes) => {
        this.#messages?.(bytes);
        return this.#messages !== undefined;
      },
    });
  }

  /** Rows as the server counted them; undefined unless the command ended well. */
  get rows(): bigint | undefined {
    return this.#rows;
  }

  /** CopyData messages received: servers send one for each row of text. */
  get messages(): number {
    return this.#frames.dataMessages;
  }

  /** Bytes of data received. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Yields the data in whole buffers, the last one shorter, each to be given back to the CopyBuffers. Ends
   * when the server has said that the command ended well; throws what it said otherwise.
   */
  async *read(): AsyncGenerator<Buffer> {
    for (;;) {
      const next = this.#ready.shift();
      if (next !== undefined) yield next;
      else if (this.#error !== undefined) throw this.#error;
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  // What node-postgres calls.

  submit(connection: PgConnection): void {
    const { stream } = connection as unknown as { stream: Socket };
    const [messages, ...others] = stream.listeners('data') as ((bytes: Buffer) => void)[];
    if (messages === undefined || others.length > 0) throw new Error('node-postgres reads in another way');
    this.#socket = stream;
    this.#messages = messages;
    stream.off('data', messages);
    stream.on('data', this.#receive);
    if (stream instanceof ReceiveSocket) stream.lends = true;
    connection.query(this.#statement);
  }

  handleCommandComplete(message: { readonly text: string }): void {
    const count = /^COPY (\d+)$/.exec(message.text)?.[1];
    if (count !== undefined) this.#rows = BigInt(count);
  }

  handleReadyForQuery(): void {
    this.#release();
    if (this.#rows === undefined) this.#error ??= new Error('the server did not say how many rows it sent');
    if (this.#filling !== undefined) this.#ready.push(this.#filling.subarray(0, this.#filled));
    this.#filling = undefined;
    this.#ended = true;
    this.#notify();
  }

  handleError(error: Error): void {
    this.#release();
    this.#error ??= error;
    this.#notify();
  }

  readonly #receive = (chunk: Buffer): void => {
    const messages = this.#messages;
    let used: number;
    try {
      used = this.#frames.push(chunk);
    } catch (error) {
      // Thrown here it would end the process: this is an event of the socket, which node-postgres hears too.
      this.#socket?.destroy(error as Error);
      return;
    }
    if (used === chunk.length) return;
    if (this.#messages !== undefined) {
      this.#rest = chunk.subarray(used);
      this.#socket?.pause();
    } else messages?.(Buffer.from(chunk.subarray(used)));
  };

  #fill(bytes: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to) {
      this.#filling ??= this.#buffers.take(this.#goOn);
      if (this.#filling === undefined) break;
      const taken = bytes.copy(this.#filling, this.#filled, at, to);
      at += taken;
      this.#filled += taken;
      if (this.#filled === this.#buffers.bytes) {
        this.#ready.push(this.#filling);
        this.#filling = undefined;
        this.#filled = 0;
        this.#notify();
      }
    }
    this.#bytes += at - from;
    return at - from;
  }

  readonly #goOn = (): void => {
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest === undefined) return;
    this.#receive(rest);
    if (this.#rest === undefined) this.#socket?.resume();
  };

  /** Puts node-postgres' reader back. */
  #release(): void {
    const messages = this.#messages;
    const socket = this.#socket;
    if (messages === undefined || socket === undefined) return;
    this.#messages = undefined;
    socket.off('data', this.#receive);
    socket.on('data', messages);
    if (socket instanceof ReceiveSocket) socket.lends = false;
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
