import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createSigner, createTrust } from '../../../src/archive/signature.ts';

const pems = (type: 'ed25519' | 'ed448' | 'x25519') => {
  const { privateKey, publicKey } = generateKeyPairSync(type as 'ed25519');
  return {
    privatePem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    publicPem: publicKey.export({ format: 'pem', type: 'spki' }).toString(),
    passphrasePem: privateKey
      .export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' })
      .toString(),
  };
};
const mine = pems('ed25519');
const other = pems('ed25519');
const signer = createSigner(mine.privatePem, 'mine.pem');

test('RFC 8032, section 7.1, test 3: its key signs its message as it says', () => {
  const seed = 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7';
  const der = Buffer.from(`302e020100300506032b657004220420${seed}`, 'hex');
  const pem = `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`;
  const known = createSigner(pem, 'known.pem');
  const publicKey = Buffer.from(known.publicKey, 'base64').subarray(-32).toString('hex');
  expect(publicKey).toBe('fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025');
  expect(known.sign(Buffer.from('af82', 'hex')).toString('hex')).toBe(
    '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  );
});

test('whatever is signed is vouched for, and no change of it or of its signature is', () => {
  const trust = createTrust([signer.publicKey]);
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.nat(),
      fc.boolean(),
      (bytes, at, inSig) => {
        const signature = signer.sign(bytes);
        expect(signer.sign(bytes).equals(signature)).toBe(true);
        expect(trust.vouchesFor(bytes, signature)).toBe(true);
        const changed = inSig ? signature : bytes;
        changed[at % changed.length]! ^= 1 << (at % 8);
        expect(trust.vouchesFor(bytes, signature)).toBe(false);
        expect(trust.vouchesFor(bytes, signature.subarray(0, 63))).toBe(false);
      },
    ),
  );
});

test('of several keys any may have signed, and no other', () => {
  const bytes = Buffer.from('document');
  const foreign = createSigner(other.privatePem, 'other.pem');
  expect(createTrust([foreign.publicKey]).vouchesFor(bytes, signer.sign(bytes))).toBe(false);
  const both = createTrust([foreign.publicKey, mine.publicPem]);
  for (const one of [signer, foreign]) expect(both.vouchesFor(bytes, one.sign(bytes))).toBe(true);
  expect(both.publicKeys).toEqual([foreign.publicKey, signer.publicKey]);
});

test.for([
  ['a passphrase', mine.passphrasePem, /passphrase/],
  ['a public key', mine.publicPem, /public key/],
  ['X25519', pems('x25519').privatePem, /not of type Ed25519/],
  ['Ed448', pems('ed448').privatePem, /not of type Ed25519/],
  ['an age identity', 'AGE-SECRET-KEY-1QQQQ', /no private key in PEM/],
  ['nothing', '', /no private key in PEM/],
] as const)('a signing key that is %s is refused', ([, pem, message]) => {
  expect(() => createSigner(pem, 'key.pem')).toThrow(
    expect.objectContaining({ code: 'key.invalid', message: expect.stringMatching(message) }),
  );
});

test.for([
  mine.privatePem,
  mine.privatePem.split('\n')[1]!,
  pems('ed448').publicPem,
  signer.publicKey.slice(0, -4),
  `${signer.publicKey}=`,
  'age1qqqq',
])('trust refuses what is no Ed25519 public key, and does not repeat it', (text) => {
  expect(() => createTrust([signer.publicKey, text])).toThrow(
    expect.objectContaining({ code: 'key.invalid', message: 'entry 2 of trust is no Ed25519 public key' }),
  );
});
