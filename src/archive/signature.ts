import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Failure } from '../model/failure.ts';

/** Ed25519 signatures (RFC 8032) have one size, and are the same each time: a put that is repeated ends as `same`. */
export const SIGNATURE_BYTES = 64;

export interface Signer {
  /** One line, as `trust` takes it. */
  readonly publicKey: string;
  sign(bytes: Uint8Array): Buffer;
}

export interface Trust {
  /** One line each. */
  readonly publicKeys: readonly string[];
  /** Whether one of the keys signed exactly these bytes. */
  vouchesFor(bytes: Uint8Array, signature: Uint8Array): boolean;
}

/** From a private key in PEM (PKCS#8), as `openssl genpkey -algorithm ed25519` writes it. Fails with `key.invalid`. */
export function createSigner(pem: string, file: string): Signer {
  const key = readPrivateKey(pem, file);
  return {
    publicKey: oneLine(createPublicKey(key)),
    // Ed25519 digests by itself: no algorithm is named.
    sign: (bytes) => sign(null, bytes, key),
  };
}

/** From public keys in PEM, or their one line of base64. Fails with `key.invalid`, which quotes no key. */
export function createTrust(texts: readonly string[]): Trust {
  const keys = texts.map((text, index) => readPublicKey(text, index));
  return {
    publicKeys: keys.map((key) => oneLine(key)),
    vouchesFor: (bytes, signature) =>
      signature.length === SIGNATURE_BYTES && keys.some((key) => verify(null, bytes, key, signature)),
  };
}

/**
 * Fails with `integrity.unsigned` or `integrity.signature` unless a trusted key signed exactly these bytes.
 * `name` says in words what they are.
 */
export function assertSigned(
  signed: { readonly name: string; readonly bytes: Uint8Array; readonly signature: Uint8Array | undefined },
  trust: Trust,
): void {
  const { name, bytes, signature } = signed;
  const facts = { object: name };
  if (signature === undefined)
    throw new Failure('integrity.unsigned', `${name} is not signed, and trust is configured`, { facts });
  if (trust.vouchesFor(bytes, signature)) return;
  throw new Failure(
    'integrity.signature',
    `${name} was changed, or signed by none of the ${trust.publicKeys.length} key(s) in trust`,
    { facts },
  );
}

function readPrivateKey(pem: string, file: string): KeyObject {
  const refuse = (what: string): Failure =>
    new Failure('key.invalid', `the signing key ${file} ${what}`, {
      facts: { file },
      remedy: `make one with openssl genpkey -algorithm ed25519 -out FILE`,
    });
  if (pem.includes('ENCRYPTED')) throw refuse('has a passphrase, which nobody is there to type');
  if (pem.includes('PUBLIC KEY')) throw refuse('is a public key: the private one signs');
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw refuse('is no private key in PEM');
  }
  if (key.asymmetricKeyType !== 'ed25519') throw refuse('is not of type Ed25519');
  return key;
}

/** SubjectPublicKeyInfo of an Ed25519 key (RFC 8410) is 44 bytes: 60 characters, one line of its PEM. */
const ONE_LINE = /^MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=$/;
const PEM = /^-----BEGIN PUBLIC KEY-----\s+(\S+)\s+-----END PUBLIC KEY-----$/;

function readPublicKey(text: string, index: number): KeyObject {
  const line = PEM.exec(text.trim())?.[1] ?? text.trim();
  if (ONE_LINE.test(line)) {
    return createPublicKey({ key: Buffer.from(line, 'base64'), format: 'der', type: 'spki' });
  }
  throw new Failure('key.invalid', `entry ${index + 1} of trust is no Ed25519 public key`, {
    facts: { setting: `trust.${index}` },
    remedy: 'print it with openssl pkey -pubout; its PEM, or the one line within, is what trust takes',
  });
}

function oneLine(key: KeyObject): string {
  return key.export({ format: 'der', type: 'spki' }).toString('base64');
}
