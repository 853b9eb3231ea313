import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import type { Store } from '../../src/storage/store.ts';
import { absentDatabase, stockDump } from '../support/postgres.ts';
import { SIGN, shell } from '../support/signing-company.ts';
import type { signingCompany } from '../support/signing-company.ts';
import { tidemark, tidemarkJson } from '../support/tidemark.ts';

const { signal } = new AbortController();

/** What someone with the right to write the repository can do, without going through Tidemark. */
async function overwrite(store: Store, key: string, bytes: Uint8Array): Promise<void> {
  await store.delete(key, { signal });
  expect((await store.putIfAbsent(key, bytes, { signal })).outcome).toBe('created');
}
export const read = async (store: Store, key: string): Promise<Buffer> =>
  Buffer.concat(await Array.fromAsync(await store.get(key, { signal })));

const READING = ['list', 'show', 'restore', 'verify'] as const;

/**
 * What someone can do who may write the repository and reads this code, and that it is refused: the manifest forged with
 * all digests made to fit, its signature gone or by another key, an object changed, documents put in the place of ours.
 */
export async function refusesForgeries(
  mine: Awaited<ReturnType<typeof signingCompany>>,
  facts: { readonly server: ThrowawayServer; readonly source: string },
): Promise<void> {
  const { server, source } = facts;
  const command = (name: (typeof READING)[number], id: string, common: readonly string[]): string[] =>
    ({
      list: ['list', ...common],
      show: ['show', id, ...common],
      restore: [
        'restore',
        ...common,
        '--to',
        `snapshot:${id}`,
        '--target',
        absentDatabase(server),
        '--create',
      ],
      verify: ['verify', id, ...common],
    })[name];
  const { configured, newKey, path, at, store } = mine;
  const trust = [newKey('signing.pem')];
  const common = configured('trusting.yaml', { signing: { keyFile: path('signing.pem') }, trust });
  const naive = configured('naive.yaml', {});
  const refused = async (id: string, code: string): Promise<void> => {
    for (const name of READING) {
      const ran = await tidemark(command(name, id, common), at);
      expect({ name, exitCode: ran.exitCode, said: ran.stdout + ran.stderr }).toMatchObject({
        exitCode: 9,
        said: expect.stringContaining(code) as string,
      });
      if (name !== 'list') continue;
      const json = JSON.parse((await tidemark(['list', '--json', ...common], at)).stdout) as object;
      expect(json).toMatchObject({
        ok: false,
        authenticated: true,
        snapshots: [],
        refused: [{ id, code }],
      });
    }
  };

  const { snapshot } = (await tidemarkJson(['snapshot', ...common], at)) as { snapshot: string };
  const base = `sources/main/snapshots/${snapshot}`;
  for (const key of ['repository.json', 'sources/main/source.json', `${base}/manifest.json`])
    expect(await store.stat(`${key}.sig`, { signal })).toMatchObject({ sizeBytes: 64 });
  const target = absentDatabase(server);
  const restored = await tidemarkJson(['restore', ...common, '--target', target, '--create'], at);
  expect(restored).toMatchObject({ authenticated: true });
  expect(await stockDump(target, 17)).toBe(await stockDump(source, 17));
  expect(await tidemarkJson(['verify', '--deep', ...common], at)).toMatchObject({
    ok: true,
    authenticated: true,
  });
  expect((await tidemark(['show', 'latest', ...common], at)).stdout).toContain('signed by a trusted key');

  // The forger changes the roles and makes every digest fit: without trust nobody could tell.
  const genuine = await read(store, `${base}/manifest.json`);
  const manifest = JSON.parse(genuine.toString()) as {
    parts: { name: string; role: string; sizeBytes: number; sha256: string }[];
  };
  const part = manifest.parts.find(({ role }) => role === 'globals')!;
  const evil = Buffer.concat([
    await read(store, `${base}/${part.name}`),
    Buffer.from('\nCREATE ROLE "mallory";\n'),
  ]);
  const globals = await read(store, `${base}/${part.name}`);
  await overwrite(store, `${base}/${part.name}`, evil);
  part.sizeBytes = evil.length;
  part.sha256 = createHash('sha256').update(evil).digest('hex');
  await overwrite(store, `${base}/manifest.json`, Buffer.from(JSON.stringify(manifest)));
  expect((await tidemark(['verify', '--deep', ...naive], at)).exitCode).toBe(0);
  await refused(snapshot, 'integrity.signature');
  // Also by his own key.
  newKey('mallory.pem');
  const forged = path('forged.json');
  writeFileSync(forged, JSON.stringify(manifest));
  shell(SIGN, { KEY: path('mallory.pem'), REPOSITORY: path(''), DOCUMENT: 'forged.json' });
  const signature = await read(store, `${base}/manifest.json.sig`);
  await overwrite(store, `${base}/manifest.json.sig`, readFileSync(`${forged}.sig`));
  await refused(snapshot, 'integrity.signature');
  await store.delete(`${base}/manifest.json.sig`, { signal });
  await refused(snapshot, 'integrity.unsigned');

  // With the true manifest back, the changed object is what is found.
  await overwrite(store, `${base}/manifest.json`, genuine);
  await store.putIfAbsent(`${base}/manifest.json.sig`, signature, { signal });
  const found = await tidemark(
    ['restore', ...common, '--globals', '--target', absentDatabase(server), '--create'],
    at,
  );
  expect(found).toMatchObject({
    exitCode: 9,
    stderr: expect.stringContaining('integrity.digest') as string,
  });
  await overwrite(store, `${base}/${part.name}`, globals);
  expect((await tidemark(['verify', ...common], at)).exitCode).toBe(0);
  // A repository.json of somebody else’s, and a source.json.
  for (const key of ['repository.json', 'sources/main/source.json']) {
    const own = await read(store, key);
    await overwrite(store, key, Buffer.from(own.toString().replace(/"createdAt"|"firstSeenAt"/, ' $&')));
    expect(await tidemark(['verify', ...common], at)).toMatchObject({ exitCode: 9 });
    expect((await tidemark(['snapshot', ...common], at)).stderr).toContain('integrity.signature');
    await overwrite(store, key, own);
  }
  expect((await tidemark(['verify', ...common], at)).exitCode).toBe(0);
}
