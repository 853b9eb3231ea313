import { Decrypter, Encrypter } from 'age-encryption';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  createOpener,
  createSealer,
  generateIdentity,
  lockIdentity,
  parseIdentityFile,
  unlockIdentity,
} from '../../../src/archive/age.ts';

const keys = await generateIdentity();
const other = await generateIdentity();
const SIZES = [0, 1, 65_535, 65_536, 65_537, 131_072, 300_000];

const bytesOf = (size: number): Buffer =>
  Buffer.from(Array.from({ length: size }, (_, index) => (index * 31) % 251));
const collect = async (source: AsyncIterable<Uint8Array>): Promise<Buffer> =>
  Buffer.concat(await Array.fromAsync(source));
async function* pieces(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test.for(SIZES)('%i bytes: what we seal age-encryption opens, and the other way round', async (size) => {
  const plain = bytesOf(size);
  const sealed = await createSealer([other.recipient, keys.recipient]).seal(plain);
  const decrypter = new Decrypter();
  decrypter.addIdentity(keys.identity);
  expect(Buffer.from(await decrypter.decrypt(sealed)).equals(plain)).toBe(true);
  const encrypter = new Encrypter();
  encrypter.addRecipient(keys.recipient);
  expect((await createOpener([keys.identity]).open(await encrypter.encrypt(plain))).equals(plain)).toBe(true);
});

test.for(SIZES)('%i bytes as streams of odd chunks', async (size) => {
  const plain = bytesOf(size);
  const sealed = await collect(createSealer([keys.recipient]).sealStream(pieces(plain, 1000)));
  const opened = await collect(createOpener([other.identity, keys.identity]).openStream(pieces(sealed, 777)));
  expect(opened.equals(plain)).toBe(true);
});

test('a cut or changed byte anywhere is found, and nothing unproven comes out', async () => {
  const plain = bytesOf(70_000);
  const sealed = await createSealer([keys.recipient]).seal(plain);
  const opener = createOpener([keys.identity]);
  await fc.assert(
    fc.asyncProperty(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ flip;
      await expect(opener.open(changed)).rejects.toMatchObject({
        code: expect.stringMatching(/^(integrity\.|key\.wrong)/),
      });
    }),
    { numRuns: 300 },
  );
  await fc.assert(
    fc.asyncProperty(fc.nat(sealed.length - 1), async (length) => {
      const out: Buffer[] = [];
      await expect(
        (async () => {
          for await (const chunk of opener.openStream([
            sealed.subarray(0, length),
          ] as unknown as AsyncIterable<Uint8Array>))
            out.push(chunk);
        })(),
      ).rejects.toMatchObject({ code: expect.stringMatching(/^integrity\./) });
      const proven = Buffer.concat(out);
      expect(proven.equals(plain.subarray(0, proven.length))).toBe(true);
    }),
    { numRuns: 200 },
  );
});

test('wrong keys are named as such and never quoted', async () => {
  const sealed = await createSealer([keys.recipient]).seal(bytesOf(10));
  await expect(createOpener([other.identity]).open(sealed)).rejects.toMatchObject({ code: 'key.wrong' });
  expect(() => createSealer(['age1nonsense'])).toThrow(
    expect.objectContaining({ code: 'key.invalid', message: expect.not.stringContaining('nonsense') }),
  );
  expect(() => createOpener([keys.recipient])).toThrow(expect.objectContaining({ code: 'key.invalid' }));
});

test('an identity under a passphrase', async () => {
  const locked = await lockIdentity(keys.identity, 'tide and mark');
  expect(await unlockIdentity(locked, 'tide and mark')).toBe(keys.identity);
  await expect(unlockIdentity(locked, 'wrong')).rejects.toMatchObject({ code: 'key.wrong' });
  expect(parseIdentityFile(`# created\n\n${keys.identity}\n`)).toEqual([keys.identity]);
});
