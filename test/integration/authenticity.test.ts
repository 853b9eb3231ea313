import { appendFileSync, chmodSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import type { Store } from '../../src/storage/store.ts';
import { position } from '../support/capturing.ts';
import { absentDatabase, newDatabase, sampleDatabase, sql, testServer } from '../support/postgres.ts';
import { SIGN, VERIFY, shell, signingCompany } from '../support/signing-company.ts';
import { tidemark, tidemarkJson } from '../support/tidemark.ts';
import { read, refusesForgeries } from './forgery-suite.ts';

const { signal } = new AbortController();
let server: ThrowawayServer;
let source: string;
beforeAll(async () => {
  server = await testServer(17);
  source = await sampleDatabase(server);
});
afterAll(() => server[Symbol.asyncDispose]());

test('in a folder, what was forged, unsigned or signed by another is refused', async () => {
  await using mine = await signingCompany(source);
  await expect(refusesForgeries(mine, { server, source })).resolves.toBeUndefined();
});

test('a forged snapshot hides no true one, stops no backup, and is no latest one to restore', async () => {
  await using mine = await signingCompany(source);
  const { configured, newKey, path, at, store } = mine;
  const common = configured('c.yaml', { signing: { keyFile: path('k.pem') }, trust: [newKey('k.pem')] });
  const { snapshot } = (await tidemarkJson(['snapshot', ...common], at)) as { snapshot: string };
  const newest = '20990101T000000Z-forged';
  const forged = (await read(store, `sources/main/snapshots/${snapshot}/manifest.json`))
    .toString()
    .replaceAll(snapshot, newest);
  await store.putIfAbsent(`sources/main/snapshots/${newest}/manifest.json`, Buffer.from(forged), { signal });
  const listed = JSON.parse((await tidemark(['list', '--json', ...common], at)).stdout) as object;
  expect(listed).toMatchObject({
    ok: false,
    snapshots: [{ id: snapshot }],
    refused: [{ id: newest, code: 'integrity.unsigned' }],
  });
  const latest = await tidemark(['restore', ...common, '--target', absentDatabase(server), '--create'], at);
  expect(latest).toMatchObject({
    exitCode: 9,
    stderr: expect.stringContaining('integrity.unsigned') as string,
  });
  const all = await tidemark(['verify', ...common], at);
  expect(all.stdout).toContain(`ok      ${snapshot}`);
  expect(all.stdout).toContain(`BROKEN  ${newest}`);
  expect(all.exitCode).toBe(9);
  const second = (await tidemarkJson(['snapshot', ...common], at)) as {
    manifest: { previous: { id: string } };
  };
  expect(second.manifest.previous.id).toBe(snapshot);
});

test('what capture stores is signed: read where its key is trusted, refused where another’s is', async () => {
  const url = await newDatabase(server);
  await using mine = await signingCompany(url);
  const { configured, newKey, path, at } = mine;
  const common = configured('c.yaml', { signing: { keyFile: path('k.pem') }, trust: [newKey('k.pem')] });
  const others = configured('o.yaml', { trust: [newKey('o.pem')] });
  await sql(url, 'CREATE TABLE t (id int PRIMARY KEY)');
  await tidemarkJson(['init', '--capture', ...common], at);
  await sql(url, 'INSERT INTO t VALUES (1)');
  const captured = await tidemark(
    ['capture', '--flush', '200ms', '--until', await position(url), ...common],
    at,
  );
  expect(captured).toMatchObject({ exitCode: 0 });
  expect((await tidemark(['log', '--table', 't', ...common], at)).stdout).toContain('public.t +1');
  const refused = await tidemark(['log', ...others], at);
  expect(refused).toMatchObject({
    exitCode: 9,
    stderr: expect.stringContaining('integrity.signature') as string,
  });

  // Whoever may write the repository can make digests and chain fit; the signature is what they lack.
  const [segment] = await segmentsIn(mine.store);
  if (segment === undefined) throw new Error('nothing was captured');
  const unsigned = withoutSignatures(await read(mine.store, segment));
  await mine.store.delete(segment, { signal });
  await mine.store.putIfAbsent(segment, unsigned, { signal });
  for (const args of [['log'], ['verify']]) {
    const ran = await tidemark([...args, ...common], at);
    expect({ args, exitCode: ran.exitCode, said: ran.stdout + ran.stderr }).toMatchObject({
      exitCode: 9,
      said: expect.stringContaining('integrity.unsigned') as string,
    });
  }
  expect((await tidemark(['log', ...configured('n.yaml', {})], at)).stdout).toContain('public.t +1');
});

async function segmentsIn(store: Store): Promise<string[]> {
  const listed = await Array.fromAsync(store.list('sources/main/streams/', { signal }));
  return listed.map(({ key }) => key).filter((key) => /\/[0-9A-F]{16}-[0-9A-F]{16}\.tar$/.test(key));
}

/** A ustar archive without its members `segment.sig`: a header and a block each. */
function withoutSignatures(archive: Buffer): Buffer {
  let rest = archive;
  for (;;) {
    const at = rest.indexOf('/segment.sig');
    if (at === -1) return rest;
    const start = Math.floor(at / 512) * 512;
    rest = Buffer.concat([rest.subarray(0, start), rest.subarray(start + 1024)]);
  }
}

test('keys are changed: trust names both, and what only one signed is read by those who trust it', async () => {
  await using mine = await signingCompany(source);
  const { configured, newKey, path, at } = mine;
  const [old, young] = [newKey('old.pem'), newKey('young.pem')];
  const before = configured('before.yaml', { signing: { keyFile: path('old.pem') }, trust: [old] });
  const after = configured('after.yaml', { signing: { keyFile: path('young.pem') }, trust: [old, young] });
  const hasty = configured('hasty.yaml', { signing: { keyFile: path('young.pem') }, trust: [old] });
  const { snapshot: first } = await tidemarkJson(['snapshot', ...before], at);
  const early = await tidemark(['snapshot', ...hasty], at);
  expect(early).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('config.invalid') as string });
  expect(early.stderr).toContain(young);
  const { snapshot: second } = await tidemarkJson(['snapshot', ...after], at);
  expect(await tidemarkJson(['verify', ...after], at)).toMatchObject({ ok: true });
  const seen = JSON.parse((await tidemark(['list', '--json', ...before], at)).stdout) as object;
  expect(seen).toMatchObject({
    snapshots: [{ id: first }],
    refused: [{ id: second, code: 'integrity.signature' }],
  });
});

test('FORMAT.md’s own steps, by openssl alone: verify, and sign what was there before', async () => {
  await using mine = await signingCompany(source);
  const { configured, newKey, path, at } = mine;
  const naive = configured('naive.yaml', {});
  const { snapshot } = (await tidemarkJson(['snapshot', ...naive], at)) as { snapshot: string };
  for (const args of [
    ['list'],
    ['show', 'latest'],
    ['verify'],
    ['restore', '--target', absentDatabase(server), '--create'],
  ]) {
    const human = await tidemark([...args, ...naive], at);
    expect({ args, said: human.stdout }).toMatchObject({
      said: expect.stringContaining('not authenticated') as string,
    });
    if (args[0] !== 'restore')
      expect(await tidemarkJson([...args, ...naive], at)).toMatchObject({ authenticated: false });
  }

  const trust = [newKey('signing.pem')];
  const common = configured('trusting.yaml', { signing: { keyFile: path('signing.pem') }, trust });
  expect((await tidemark(['list', ...common], at)).stderr).toContain('integrity.unsigned');
  const keys = { KEY: path('signing.pem'), REPOSITORY: path('backups') };
  for (const DOCUMENT of [
    'repository.json',
    'sources/main/source.json',
    `sources/main/snapshots/${snapshot}/manifest.json`,
  ])
    shell(SIGN, { ...keys, DOCUMENT });
  expect(await tidemarkJson(['verify', ...common], at)).toMatchObject({ ok: true, authenticated: true });

  const { snapshot: ours } = (await tidemarkJson(['snapshot', ...common], at)) as { snapshot: string };
  shell('openssl pkey -in "$KEY" -pubout -out "$PUBLIC"', { ...keys, PUBLIC: path('public.pem') });
  const by = { REPOSITORY: path('backups'), SOURCE: 'main', ID: ours, PUBLIC: path('public.pem') };
  expect(shell(VERIFY, by).match(/Signature Verified Successfully/g)).toHaveLength(3);
  const pem = configured('pem.yaml', { trust: [readFileSync(path('public.pem'), 'utf8')] });
  expect(await tidemarkJson(['verify', ...pem], at)).toMatchObject({ ok: true, authenticated: true });
  const manifest = path(`backups/sources/main/snapshots/${ours}/manifest.json`);
  chmodSync(manifest, 0o600);
  appendFileSync(manifest, ' ');
  expect(() => shell(VERIFY, by)).toThrow(/Signature Verification Failure|Command failed/);
});

test('a key that others can read is found; a key’s path is no secret, and no key is shown', async () => {
  await using mine = await signingCompany(source);
  const { configured, newKey, path, at } = mine;
  const trust = [newKey('signing.pem')];
  const common = configured('c.yaml', { signing: { keyFile: path('signing.pem') }, trust });
  const quiet = await tidemark(['snapshot', ...common], at);
  expect(quiet.stderr).not.toContain('signing key');
  expect((await tidemark(['doctor', ...common], at)).stdout).toMatch(
    /ok +authenticity: snapshots are signed/,
  );
  chmodSync(path('signing.pem'), 0o640);
  expect((await tidemark(['snapshot', ...common], at)).stderr).toContain(
    'others may read or change the signing key',
  );
  expect((await tidemark(['doctor', ...common], at)).stdout).toContain('signing.permission');
  const config = await tidemark(['config', ...common], at);
  expect(config.stdout).toContain(path('signing.pem'));
  expect(config.stdout).toContain(trust[0]);
  const body = readFileSync(path('signing.pem'), 'utf8').split('\n')[1]!;
  expect(config.stdout + quiet.stdout + quiet.stderr).not.toContain(body);
  rmSync(path('signing.pem'));
  expect(existsSync(path('signing.pem'))).toBe(false);
  // Who only reads needs no private key.
  expect((await tidemark(['list', ...common], at)).exitCode).toBe(0);
  expect((await tidemark(['snapshot', ...common], at)).stderr).toContain('key.missing');
  const readOnly = configured('r.yaml', { trust });
  expect((await tidemark(['snapshot', ...readOnly], at)).stderr).toContain('signing.keyFile is not set');
});
