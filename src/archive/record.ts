import { Failure } from '../model/failure.ts';

/** Length of the message (uint32), flags. */
export const RECORD_HEADER_BYTES = 5;
/** The message was in force when the run (or part) began; the server sent it earlier in its session. */
const FLAG_IN_FORCE = 1;

export interface StoredRecord {
  readonly inForce: boolean;
  /** One pgoutput message: a view, valid as long as the member's bytes are. */
  readonly message: Buffer;
}

/** Takes a member's plaintext apart. Fails with `integrity.format` when a record does not fit. */
export function* readRecords(plain: Buffer): Generator<StoredRecord> {
  for (let at = 0; at < plain.length;) {
    if (plain.length - at < RECORD_HEADER_BYTES) throw broken('ends within a record');
    const length = plain.readUInt32BE(at);
    const flags = plain[at + 4] ?? 0;
    const start = at + RECORD_HEADER_BYTES;
    if (flags > FLAG_IN_FORCE) throw broken('has a record with unknown flags');
    if (length === 0) throw broken('has an empty record');
    if (length > plain.length - start) throw broken('ends within a record');
    at = start + length;
    yield { inForce: flags === FLAG_IN_FORCE, message: plain.subarray(start, at) };
  }
}

/** Messages that were in force, as the plaintext of a member. */
export function writeInForce(messages: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    messages.flatMap((message) => {
      const header = Buffer.alloc(RECORD_HEADER_BYTES);
      header.writeUInt32BE(message.length);
      header[4] = FLAG_IN_FORCE;
      return [header, message];
    }),
  );
}

function broken(what: string): Failure {
  return new Failure('integrity.format', `a member of changes ${what}`);
}
