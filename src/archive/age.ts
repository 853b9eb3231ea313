import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { Decrypter, Encrypter, generateX25519Identity } from 'age-encryption';
import { Failure } from '../model/failure.ts';
import {
  FILE_KEY_BYTES,
  headerEnd,
  openHeader,
  parseIdentity,
  parseRecipient,
  payloadKey,
  writeHeader,
} from './age-header.ts';
import type { Identity } from './age-header.ts';
import { sha256Hex } from './digest.ts';

/** Encrypts to fixed recipients; each call makes an age file of its own. */
export interface Sealer {
  /** SHA-256 of each recipient's text, sorted. */
  readonly fingerprints: readonly string[];
  seal(bytes: Uint8Array): Promise<Buffer>;
  sealStream(source: AsyncIterable<Uint8Array>): AsyncIterable<Buffer>;
}

/** Decrypts with fixed identities. Never yields a byte that was not authenticated. */
export interface Opener {
  /** Of the identities' recipients, sorted. */
  readonly fingerprints: readonly string[];
  open(bytes: Uint8Array): Promise<Buffer>;
  openStream(source: AsyncIterable<Uint8Array>): AsyncIterable<Buffer>;
}

const CHUNK_BYTES = 64 * 1024;
const TAG_BYTES = 16;
const NONCE_BYTES = 16;

/** Fails with `key.invalid`. A passphrase can't be a recipient here: scrypt would cost seconds for each member. */
export function createSealer(recipients: readonly string[]): Sealer {
  if (recipients.length === 0) throw new Failure('key.missing', 'no recipient to encrypt to');
  const parsed = recipients.map((text) => parseRecipient(text));
  const start = (): { head: Buffer; chunks: ChunkCipher } => {
    const fileKey = randomBytes(FILE_KEY_BYTES);
    const nonce = randomBytes(NONCE_BYTES);
    return {
      head: Buffer.concat([writeHeader(fileKey, parsed), nonce]),
      chunks: new ChunkCipher(payloadKey(fileKey, nonce)),
    };
  };
  return {
    fingerprints: fingerprints(parsed.map((recipient) => recipient.text)),
    seal: (bytes) => {
      const { head, chunks } = start();
      const pieces: Buffer[] = [head];
      let at = 0;
      for (; bytes.length - at > CHUNK_BYTES; at += CHUNK_BYTES)
        pieces.push(chunks.seal(bytes.subarray(at, at + CHUNK_BYTES), false));
      pieces.push(chunks.seal(bytes.subarray(at), true));
      return Promise.resolve(Buffer.concat(pieces));
    },
    sealStream: async function* (source) {
      const { head, chunks } = start();
      yield head;
      for await (const { chunk, last } of rechunk(source, CHUNK_BYTES)) yield chunks.seal(chunk, last);
    },
  };
}

/** Fails with `key.invalid`. */
export function createOpener(identities: readonly string[]): Opener {
  if (identities.length === 0) throw new Failure('key.missing', 'no private key is given');
  const parsed = identities.map((text) => parseIdentity(text));
  return {
    fingerprints: fingerprints(parsed.map((identity) => identity.recipient.text)),
    open: async (bytes) => {
      const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const pieces: Buffer[] = [];
      for await (const piece of openAll([whole], parsed)) pieces.push(piece);
      return Buffer.concat(pieces);
    },
    openStream: (source) => openAll(source, parsed),
  };
}

/** A new identity and the recipient that goes with it. */
export async function generateIdentity(): Promise<{ readonly identity: string; readonly recipient: string }> {
  const identity = await generateX25519Identity();
  return { identity, recipient: recipientOf(identity) };
}

/** The public half. Fails with `key.invalid`. */
export function recipientOf(identity: string): string {
  return parseIdentity(identity).recipient.text;
}

/** `keys/identity.age`: an identity under a passphrase, as `age -p` writes it. Costs about a second. */
export async function lockIdentity(identity: string, passphrase: string): Promise<Buffer> {
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  return Buffer.from(await encrypter.encrypt(`${identity}\n`));
}

/** Undoes `lockIdentity`. Fails with `key.wrong`. */
export async function unlockIdentity(bytes: Uint8Array, passphrase: string): Promise<string> {
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase);
  try {
    const [identity = ''] = parseIdentityFile(await decrypter.decrypt(bytes, 'text'));
    return identity;
  } catch (cause) {
    throw new Failure('key.wrong', 'the passphrase does not open the identity', { cause });
  }
}

/** Identities of a file as age-keygen writes it: one a line, comments and blank lines between. */
export function parseIdentityFile(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

async function* openAll(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  identities: readonly Identity[],
): AsyncGenerator<Buffer> {
  const reader = new Reader(source);
  const header = await reader.header();
  const fileKey = openHeader(header, identities);
  const nonce = await reader.exactly(NONCE_BYTES);
  const chunks = new ChunkCipher(payloadKey(fileKey, nonce));
  let count = 0;
  for await (const { chunk, last } of rechunk(reader.rest(), CHUNK_BYTES + TAG_BYTES)) {
    const plain = chunks.open(chunk, last);
    // age.md: the last chunk may be empty only when it is the first one.
    if (plain.length === 0 && count > 0) throw truncated();
    count += 1;
    yield plain;
  }
}

/** STREAM (age.md, "Payload"): 64 KiB chunks, an 11-byte counter and a last-chunk flag as nonce. */
class ChunkCipher {
  readonly #key: Buffer;
  #counter = 0;

  constructor(key: Buffer) {
    this.#key = key;
  }

  seal(chunk: Uint8Array, last: boolean): Buffer {
    const cipher = createCipheriv('chacha20-poly1305', this.#key, this.#nonce(last), {
      authTagLength: TAG_BYTES,
    });
    const body = cipher.update(chunk);
    return Buffer.concat([body, cipher.final(), cipher.getAuthTag()]);
  }

  open(chunk: Buffer, last: boolean): Buffer {
    if (chunk.length < TAG_BYTES) throw truncated();
    const decipher = createDecipheriv('chacha20-poly1305', this.#key, this.#nonce(last), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAuthTag(chunk.subarray(-TAG_BYTES));
    try {
      const plain = decipher.update(chunk.subarray(0, -TAG_BYTES));
      decipher.final();
      return plain;
    } catch (cause) {
      throw new Failure('integrity.digest', 'encrypted data was changed or cut', { cause });
    }
  }

  #nonce(last: boolean): Buffer {
    const nonce = Buffer.alloc(12);
    // 2^48 chunks are more than any object can hold.
    nonce.writeUIntBE(this.#counter, 5, 6);
    nonce[11] = last ? 1 : 0;
    this.#counter += 1;
    return nonce;
  }
}

/** Cuts a stream into pieces of one size and tells which is the last; the last one may be shorter, or empty. */
async function* rechunk(
  source: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<{ readonly chunk: Buffer; readonly last: boolean }> {
  let buffer = Buffer.allocUnsafe(size);
  let filled = 0;
  for await (const bytes of source) {
    for (let at = 0; at < bytes.length;) {
      if (filled === size) {
        yield { chunk: buffer, last: false };
        buffer = Buffer.allocUnsafe(size);
        filled = 0;
      }
      const taken = Math.min(size - filled, bytes.length - at);
      buffer.set(bytes.subarray(at, at + taken), filled);
      at += taken;
      filled += taken;
    }
  }
  yield { chunk: buffer.subarray(0, filled), last: true };
}

/** Takes a header and a nonce off the front of a stream. */
class Reader {
  readonly #source: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#source =
      Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  async header(): Promise<Buffer> {
    for (;;) {
      const end = headerEnd(this.#buffer);
      if (end !== undefined) return this.#take(end);
      if (!(await this.#more())) throw truncated();
    }
  }

  async exactly(size: number): Promise<Buffer> {
    while (this.#buffer.length < size) if (!(await this.#more())) throw truncated();
    return this.#take(size);
  }

  async *rest(): AsyncGenerator<Uint8Array> {
    yield this.#buffer;
    for (let next = await this.#source.next(); next.done !== true; next = await this.#source.next())
      yield next.value;
  }

  async #more(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done === true) return false;
    this.#buffer = Buffer.concat([this.#buffer, next.value]);
    return true;
  }

  #take(size: number): Buffer {
    const taken = this.#buffer.subarray(0, size);
    this.#buffer = this.#buffer.subarray(size);
    return taken;
  }
}

function fingerprints(recipients: readonly string[]): string[] {
  return recipients.map((text) => sha256Hex(Buffer.from(text, 'utf8'))).sort();
}

function truncated(): Failure {
  return new Failure('integrity.truncated', 'encrypted data ends early');
}
