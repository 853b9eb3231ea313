import { Socket } from 'node:net';

/** Several of the server's 8 KiB sends are read in one turn. */
const RECEIVE_BYTES = 256 * 1024;

/**
 * A socket that reads into one buffer of its own again and again, where node's makes a new one for every
 * read: those lie outside V8's heap, and their sum, not their lifetime, makes it collect, which cost a quarter
 * of a snapshot's CPU time (`npm run bench`). For plaintext only: under TLS node makes the buffers itself.
 */
export class ReceiveSocket extends Socket {
  /** While true, a `data` event's bytes are the receive buffer itself, valid until the next read. */
  lends = false;

  constructor() {
    // net.SocketConstructorOpts lacks `onread`, which node documents for `new net.Socket` (net, "onread").
    const receive = {
      onread: {
        buffer: Buffer.allocUnsafeSlow(RECEIVE_BYTES),
        callback: (length: number, buffer: Uint8Array): boolean => {
          const bytes = Buffer.from(buffer.buffer, buffer.byteOffset, length);
          this.emit('data', this.lends ? bytes : Buffer.from(bytes));
          return true;
        },
      },
    };
    super(receive);
  }
}
