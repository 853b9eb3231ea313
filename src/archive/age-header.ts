import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  timingSafeEqual,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { bech32 } from '@scure/base';
import { Failure } from '../model/failure.ts';

/**
 * The header of an age file, version 1 (C2SP, age.md): X25519 stanzas and the header's MAC, by node:crypto.
 * `age-encryption` has the same, but not apart from its payload loop, which is eight times slower.
 */
const VERSION_LINE = 'age-encryption.org/v1';
const X25519_LABEL = 'age-encryption.org/v1/X25519';
export const FILE_KEY_BYTES = 16;
const KEY_BYTES = 32;
const TAG_BYTES = 16;
/** Some 400 recipients; a header beyond is hostile. */
const MAX_HEADER_BYTES = 64 * 1024;

export interface Recipient {
  readonly text: string;
  readonly raw: Buffer;
  readonly key: KeyObject;
}

export interface Identity {
  readonly raw: Buffer;
  readonly key: KeyObject;
  readonly recipient: Recipient;
}

/** Reads `age1…`. Fails with `key.invalid`, never quoting what was given. */
export function parseRecipient(text: string): Recipient {
  const raw = decodeKey(text.trim(), { prefix: 'age', what: 'a recipient (age1…)' });
  return { text: text.trim(), raw, key: publicKey(raw) };
}

/** Reads `AGE-SECRET-KEY-1…`. Fails with `key.invalid`, never quoting what was given. */
export function parseIdentity(text: string): Identity {
  const secret = decodeKey(text.trim().toLowerCase(), {
    prefix: 'age-secret-key-',
    what: 'an identity (AGE-SECRET-KEY-1…)',
  });
  const der = Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), secret]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const raw = rawPublic(createPublicKey(key));
  const recipient = { text: bech32.encode('age', bech32.toWords(raw), false), raw, key: publicKey(raw) };
  return { raw: secret, key, recipient };
}

/** A header that opens for each of the recipients. */
export function writeHeader(fileKey: Buffer, recipients: readonly Recipient[]): Buffer {
  const stanzas = recipients.map((recipient) => {
    const ephemeral = generateKeyPairSync('x25519');
    const share = rawPublic(ephemeral.publicKey);
    const shared = diffieHellman({ privateKey: ephemeral.privateKey, publicKey: recipient.key });
    const cipher = createCipheriv(
      'chacha20-poly1305',
      wrapKey(shared, share, recipient.raw),
      Buffer.alloc(12),
      {
        authTagLength: TAG_BYTES,
      },
    );
    const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
    return `-> X25519 ${base64(share)}\n${base64(body)}\n`;
  });
  const start = `${VERSION_LINE}\n${stanzas.join('')}---`;
  return Buffer.from(`${start} ${base64(headerMac(fileKey, start))}\n`, 'latin1');
}

/** Where a header ends; undefined while `bytes` holds no whole one. Fails with `integrity.format`. */
export function headerEnd(bytes: Buffer): number | undefined {
  const start = `${VERSION_LINE}\n`;
  if (!start.startsWith(bytes.subarray(0, start.length).toString('latin1'))) throw broken('is no age file');
  const footer = bytes.indexOf('\n--- ', 0, 'latin1');
  const end = footer === -1 ? -1 : bytes.indexOf('\n', footer + 1, 'latin1');
  if (end === -1 && bytes.length > MAX_HEADER_BYTES) throw broken('has no end of header');
  return end === -1 ? undefined : end + 1;
}

/** The file key, by the first identity that fits. Fails with `key.wrong`, or `integrity.digest` on a wrong MAC. */
export function openHeader(header: Buffer, identities: readonly Identity[]): Buffer {
  const text = header.toString('latin1');
  const footer = text.lastIndexOf('\n--- ');
  const mac = decode64(text.slice(footer + 5, -1));
  const stanzas = [
    ...text.slice(0, footer + 1).matchAll(/^-> X25519 ([A-Za-z0-9+/]{43})\n([A-Za-z0-9+/]{43})$/gm),
  ];
  for (const stanza of stanzas) {
    const fileKey = unwrap(decode64(stanza[1] ?? ''), decode64(stanza[2] ?? ''), identities);
    if (fileKey === undefined) continue;
    const expected = headerMac(fileKey, text.slice(0, footer + 4));
    if (mac.length !== expected.length || !timingSafeEqual(mac, expected)) {
      throw new Failure('integrity.digest', 'an age header was changed');
    }
    return fileKey;
  }
  throw new Failure('key.wrong', 'none of the given identities opens this');
}

/** The key of the payload that follows a header (age.md, "Payload"). */
export function payloadKey(fileKey: Buffer, nonce: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', KEY_BYTES));
}

function unwrap(share: Buffer, body: Buffer, identities: readonly Identity[]): Buffer | undefined {
  for (const identity of identities) {
    try {
      const shared = diffieHellman({ privateKey: identity.key, publicKey: publicKey(share) });
      const key = wrapKey(shared, share, identity.recipient.raw);
      const decipher = createDecipheriv('chacha20-poly1305', key, Buffer.alloc(12), {
        authTagLength: TAG_BYTES,
      });
      decipher.setAuthTag(body.subarray(FILE_KEY_BYTES));
      return Buffer.concat([decipher.update(body.subarray(0, FILE_KEY_BYTES)), decipher.final()]);
    } catch {
      // Not for this identity: the tag is the only way to tell.
    }
  }
  return undefined;
}

function wrapKey(shared: Buffer, share: Buffer, recipient: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', shared, Buffer.concat([share, recipient]), X25519_LABEL, KEY_BYTES));
}

function headerMac(fileKey: Buffer, start: string): Buffer {
  const key = Buffer.from(hkdfSync('sha256', fileKey, Buffer.alloc(0), 'header', KEY_BYTES));
  return createHmac('sha256', key).update(start, 'latin1').digest();
}

function decodeKey(text: string, expected: { readonly prefix: string; readonly what: string }): Buffer {
  const decoded = bech32.decodeUnsafe(text, 200);
  const bytes = decoded === undefined ? undefined : bech32.fromWordsUnsafe(decoded.words);
  if (decoded?.prefix !== expected.prefix || !(bytes instanceof Uint8Array) || bytes.length !== KEY_BYTES) {
    throw new Failure('key.invalid', `not ${expected.what}`);
  }
  return Buffer.from(bytes);
}

function publicKey(raw: Buffer): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: raw.toString('base64url') }, format: 'jwk' });
}

function rawPublic(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url');
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '');
}

function decode64(text: string): Buffer {
  return Buffer.from(text, 'base64');
}

function broken(what: string): Failure {
  return new Failure('integrity.format', `encrypted data ${what}`);
}
