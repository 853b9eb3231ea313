import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { faultProxy } from '../support/fault-proxy.ts';
import type { FaultProxy } from '../support/fault-proxy.ts';
import { sampleDatabase, testServer } from '../support/postgres.ts';
import { startS3 } from '../support/s3.ts';
import { signingCompany } from '../support/signing-company.ts';
import { start, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

let server: ThrowawayServer;
let source: string;
let proxy: FaultProxy;
const s3 = await startS3();
beforeAll(async () => {
  server = await testServer(17);
  source = await sampleDatabase(server);
  proxy = await faultProxy(s3.endpoint);
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await s3[Symbol.asyncDispose]();
});

/** All requests to the bucket go through the proxy. */
async function signedBucket() {
  const url = `s3://${await s3.newBucket()}/b`;
  const company = await signingCompany(source, { url, s3: { ...s3, endpoint: proxy.url } });
  const { configured, newKey, path } = company;
  const trust = [newKey('k.pem')];
  const common = configured('tidemark.yaml', { signing: { keyFile: path('k.pem') }, trust });
  return { ...company, common };
}
type Traffic = { requests: Record<string, number>; retries: number };
const total = ({ requests }: Traffic): number =>
  Object.values(requests).reduce((sum, count) => sum + count, 0);

test('I 55: lost answers of documents and their signatures end as success, and are counted', async () => {
  await using bucket = await signedBucket();
  const { common, at } = bucket;
  const dropped = new Set<string>();
  const before = proxy.requests.length;
  proxy.fault = ({ method, url }) => {
    const path = url.split('?')[0] ?? '';
    if (method !== 'PUT' || !/\.json(?:\.sig)?$/.test(path) || dropped.has(path)) return { kind: 'pass' };
    dropped.add(path);
    return { kind: 'drop-answer' };
  };
  const { traffic } = (await tidemarkJson(['snapshot', ...common], at)) as { traffic: Traffic };
  expect([...dropped].map((path) => path.split('/').at(-1) ?? '').sort()).toEqual([
    'manifest.json',
    'manifest.json.sig',
    'repository.json',
    'repository.json.sig',
    'source.json',
    'source.json.sig',
  ]);
  expect(traffic.retries).toBe(6);
  expect(total(traffic)).toBe(proxy.requests.length - before);
  proxy.fault = () => ({ kind: 'pass' });
  expect(await tidemarkJson(['verify', ...common], at)).toMatchObject({ ok: true, authenticated: true });
});

test.for(['manifest.json.sig', 'manifest.json'] as const)(
  'P2: kill -9 while %s is on its way: no snapshot, and the next one is whole',
  async (name) => {
    await using bucket = await signedBucket();
    const { common, at } = bucket;
    let reached = false;
    proxy.fault = ({ method, url }) => {
      if (method !== 'PUT' || !url.split('?')[0]?.endsWith(`/${name}`)) return { kind: 'pass' };
      reached = true;
      return { kind: 'stall' };
    };
    const running = start(['snapshot', ...common], at);
    await until(() => reached);
    running.kill('SIGKILL');
    await running;
    proxy.fault = () => ({ kind: 'pass' });
    const left = await tidemark(['list', ...common], at);
    expect(left.stdout).toContain('no snapshots');
    expect(left.stdout).toContain('unfinished');
    expect(left.exitCode).toBe(0);
    expect((await tidemark(['doctor', ...common], at)).stdout).toContain('repository.unfinished');
    const { snapshot } = await tidemarkJson(['snapshot', ...common], at);
    expect(await tidemarkJson(['list', ...common], at)).toMatchObject({ snapshots: [{ id: snapshot }] });
    expect(await tidemarkJson(['verify', ...common], at)).toMatchObject({ ok: true });
  },
);

test('a signature that can’t be stored ends the snapshot, and what it had stored is removed', async () => {
  await using bucket = await signedBucket();
  const { common, at } = bucket;
  proxy.fault = ({ method, url }) =>
    method === 'PUT' && url.split('?')[0]?.endsWith('/manifest.json.sig') === true
      ? { kind: 'answer', status: 403, code: 'AccessDenied' }
      : { kind: 'pass' };
  const ran = await tidemark(['snapshot', ...common], at);
  proxy.fault = () => ({ kind: 'pass' });
  expect(ran).toMatchObject({
    exitCode: 8,
    stderr: expect.stringContaining('repository.permission') as string,
  });
  expect(await tidemarkJson(['list', ...common], at)).toMatchObject({ snapshots: [], unfinished: [] });
});
