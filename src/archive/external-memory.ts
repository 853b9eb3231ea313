/**
 * Buffers lie outside V8's heap. V8 starts a collection for the sum of what was made since the last one, however
 * long it has been out of use, and each walks the whole heap: with megabytes for every part they cost a quarter of a
 * snapshot's or restore's CPU time (`npm run bench`). So large ones are given back by hand, or lent and used again.
 */
const LEAST_BYTES = 256 * 1024;

/** Lent memory that is out, and how it goes back. */
const lenders = new WeakMap<SharedArrayBuffer, () => void>();

/** The first bytes of memory that is used again after `release`. */
export function lend(memory: SharedArrayBuffer, bytes: number, giveBack: () => void): Buffer {
  lenders.set(memory, giveBack);
  return Buffer.from(memory, 0, bytes);
}

/** The same bytes in a buffer of just their size; the given one is gone. */
export function trimmed(bytes: Buffer): Buffer {
  return ownMemory(bytes) ? Buffer.from(bytes.buffer.transfer(bytes.length)) : bytes;
}

/** Gives a buffer's memory back. Whoever still looks at it finds it empty, or filled with something else. */
export function release(bytes: Uint8Array): void {
  if (bytes.buffer instanceof SharedArrayBuffer) {
    const giveBack = lenders.get(bytes.buffer);
    lenders.delete(bytes.buffer);
    giveBack?.();
  } else if (ownMemory(bytes)) bytes.buffer.transfer(0);
}

/** Smaller ones may share node's pool, which is not theirs to give. */
function ownMemory<T extends Uint8Array>(bytes: T): bytes is T & { readonly buffer: ArrayBuffer } {
  return (
    bytes.byteOffset === 0 && bytes.buffer instanceof ArrayBuffer && bytes.buffer.byteLength >= LEAST_BYTES
  );
}
