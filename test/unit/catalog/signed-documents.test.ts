import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { createSigner, createTrust } from '../../../src/archive/signature.ts';
import { encodeDocument, putDocument } from '../../../src/catalog/documents.ts';
import { keys } from '../../../src/catalog/keys.ts';
import { ensureRepository, ensureSource, openRepository } from '../../../src/catalog/repository.ts';
import { createMemoryStore } from '../../../src/storage/memory.ts';
import type { Store } from '../../../src/storage/store.ts';

const { signal } = new AbortController();
const newSigner = () =>
  createSigner(
    generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    'test.pem',
  );
const signer = newSigner();
const trust = createTrust([signer.publicKey]);
const init = { signer, trust, recipientFingerprints: [], program: 'test', signal };
const reader = { signer: undefined, trust, signal };
const source = {
  formatVersion: 1,
  kind: 'tidemark-source',
  source: 'main',
  firstSeenAt: '2026-11-24T10:00:00Z',
  systemIdentifier: '1',
  databaseOid: 5,
  databaseName: 'db',
  serverVersion: 170_000,
} as const;

/** A store that keeps what it is told and loses the answer, or breaks, at puts of one key. */
function breaking(store: Store, at: { key: string; how: 'before' | 'after' }): Store {
  let broken = false;
  return {
    ...store,
    putIfAbsent: async (key, body, options) => {
      const breaks = !broken && key === at.key;
      if (breaks) broken = true;
      if (breaks && at.how === 'before') throw new Error('the power went');
      const put = await store.putIfAbsent(key, body, options);
      if (breaks) throw new Error('the answer was lost');
      return put;
    },
  };
}

test('a signed repository opens with trust, and one that is not does not', async () => {
  const signed = createMemoryStore();
  const { repository } = await ensureRepository(signed, init);
  expect(await ensureSource(repository, source, { signal })).toEqual(source);
  expect((await openRepository(signed, reader)).document).toEqual(repository.document);

  const plain = createMemoryStore();
  await ensureRepository(plain, { ...init, signer: undefined, trust: undefined });
  await expect(openRepository(plain, reader)).rejects.toMatchObject({
    code: 'integrity.unsigned',
    exitCode: 9,
  });
  await expect(ensureRepository(plain, init)).rejects.toMatchObject({ code: 'integrity.unsigned' });
  const foreign = { ...reader, trust: createTrust([newSigner().publicKey]) };
  await expect(openRepository(signed, foreign)).rejects.toMatchObject({
    code: 'integrity.signature',
    exitCode: 9,
  });
});

test('a signature of the wrong size, or far too large, is named', async () => {
  for (const size of [0, 63, 65, 1_000_000]) {
    const store = createMemoryStore();
    await store.putIfAbsent(keys.signature(keys.repository), Buffer.alloc(size), { signal });
    await store.putIfAbsent(keys.repository, Buffer.from('{}'), { signal });
    await expect(openRepository(store, reader)).rejects.toMatchObject({ exitCode: 9 });
  }
});

test('bytes that nobody vouches for are not even parsed', async () => {
  const store = createMemoryStore();
  await store.putIfAbsent(keys.repository, Buffer.from('{"formatVersion": 2}'), { signal });
  await expect(openRepository(store, reader)).rejects.toMatchObject({ code: 'integrity.unsigned' });
});

test.for([keys.signature(keys.repository), keys.repository])(
  'whoever dies at %s, before or after it was stored, the next one makes it whole',
  async (key) => {
    for (const how of ['before', 'after'] as const) {
      const store = createMemoryStore();
      await expect(ensureRepository(breaking(store, { key, how }), init)).rejects.toThrow(/power|answer/);
      const { repository } = await ensureRepository(store, init);
      expect((await openRepository(store, reader)).document).toEqual(repository.document);
    }
  },
);

test('of several that make a repository at once all end with the same, signed one', async () => {
  const store = createMemoryStore();
  const slow: Store = {
    ...store,
    putIfAbsent: async (key, body, options) => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 30));
      return store.putIfAbsent(key, body, options);
    },
  };
  const made = await Promise.all(Array.from({ length: 6 }, () => ensureRepository(slow, init)));
  expect(made.filter(({ created }) => created)).toHaveLength(1);
  const opened = await openRepository(store, reader);
  for (const { repository } of made) expect(repository.document).toEqual(opened.document);
});

test('one that was held up between its signature and its document ends signed, though another took its place', async () => {
  const store = createMemoryStore();
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const slow: Store = {
    ...store,
    putIfAbsent: async (key, body, options) => {
      if (key === 'document') await held;
      return store.putIfAbsent(key, body, options);
    },
  };
  const first = putDocument(slow, { key: 'document', bytes: Buffer.from('first') }, { signer, signal });
  const second = putDocument(
    {
      ...store,
      putIfAbsent: async (key, body, options) => {
        const put = await store.putIfAbsent(key, body, options);
        // The second has replaced the first's signature: now the first wins.
        if (key === 'document.sig' && put.outcome === 'created') {
          release();
          await first;
        }
        return put;
      },
    },
    { key: 'document', bytes: Buffer.from('second') },
    { signer, signal },
  );
  expect(await second).toBe(false);
  expect(await first).toBe(true);
  const read = async (key: string) => Buffer.concat(await Array.fromAsync(await store.get(key, { signal })));
  expect((await read('document')).toString()).toBe('first');
  expect(trust.vouchesFor(await read('document'), await read('document.sig'))).toBe(true);
});

test('what is signed is what is stored, to the byte', async () => {
  const store = createMemoryStore();
  const { repository } = await ensureRepository(store, init);
  const stored = Buffer.concat(await Array.fromAsync(await store.get(keys.repository, { signal })));
  expect(stored.equals(encodeDocument(repository.document))).toBe(true);
});
