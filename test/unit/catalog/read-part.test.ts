import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { sha256Hex } from '../../../src/archive/digest.ts';
import type { Manifest } from '../../../src/archive/manifest.ts';
import { createTrust } from '../../../src/archive/signature.ts';
import { readPart } from '../../../src/catalog/read-part.ts';
import type { Repository } from '../../../src/catalog/repository.ts';
import { createMemoryStore } from '../../../src/storage/memory.ts';

const { signal } = new AbortController();
const trust = createTrust(['MCowBQYDK2VwAyEA/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU=']);

/** A part of which the last byte was changed, read in chunks of 1 MB; what came before the failure. */
async function handedOn(sizeBytes: number, options: { proof: 'first' | 'last'; trusted: boolean }) {
  const bytes = randomBytes(sizeBytes);
  const part = { role: 'full-custom' as const, name: 'full.dump', sizeBytes, sha256: sha256Hex(bytes) };
  bytes[sizeBytes - 1]! ^= 1;
  const memory = createMemoryStore();
  let gets = 0;
  const store = {
    ...memory,
    get: async () => {
      gets += 1;
      return (async function* () {
        for (let at = 0; at < sizeBytes; at += 1_000_000)
          yield await Promise.resolve(bytes.subarray(at, at + 1_000_000));
      })();
    },
  };
  const document = { repositoryId: 'x' } as Repository['document'];
  const repository = { store, document, signer: undefined, trust: options.trusted ? trust : undefined };
  const manifest = { source: 'main', id: 'x' } as Manifest;
  let chunks = 0;
  const reading = (async () => {
    const how = { opener: undefined, proof: options.proof, signal };
    for await (const chunk of readPart({ repository, manifest, part }, how))
      if (chunk.length > 0) chunks += 1;
  })();
  await expect(reading).rejects.toMatchObject({ code: 'integrity.digest' });
  return { chunks, gets };
}

test('a small part is proved before any of it is handed on, with one reading', async () => {
  for (const trusted of [true, false])
    expect(await handedOn(3_000_000, { proof: 'first', trusted })).toEqual({ chunks: 0, gets: 1 });
});

test('a large part is proved first where signatures count', async () => {
  expect(await handedOn(18_000_000, { proof: 'first', trusted: true })).toEqual({ chunks: 0, gets: 1 });
  expect(await handedOn(18_000_000, { proof: 'first', trusted: false })).toEqual({ chunks: 18, gets: 1 });
});

test('who waits for the end anyway reads once', async () => {
  expect(await handedOn(3_000_000, { proof: 'last', trusted: true })).toEqual({ chunks: 3, gets: 1 });
});
