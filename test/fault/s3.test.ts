import { randomBytes } from 'node:crypto';
import { ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, expect, test } from 'vitest';
import { openStore } from '../../src/storage/open-store.ts';
import { faultProxy } from '../support/fault-proxy.ts';
import type { Fault } from '../support/fault-proxy.ts';
import { startS3 } from '../support/s3.ts';

const s3 = await startS3();
afterAll(() => s3[Symbol.asyncDispose]());
const signal = new AbortController().signal;
const PASS: Fault = { kind: 'pass' };

async function setUp(timing: { patienceMs?: number; silenceMs?: number } = {}) {
  const proxy = await faultProxy(s3.endpoint);
  const bucket = await s3.newBucket();
  const store = await openStore({ url: `s3://${bucket}`, ...s3, ...timing, endpoint: proxy.url });
  const left = async () => {
    const { Uploads = [] } = await s3.client().send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    const { Contents = [] } = await s3.client().send(new ListObjectsV2Command({ Bucket: bucket }));
    return { uploads: Uploads.length, objects: Contents.map((object) => object.Key) };
  };
  return { proxy, store, left };
}

/** The first request that matches fails, later ones pass. */
function once(matches: (line: string) => boolean, fault: Fault) {
  let done = false;
  return ({ method, url }: { method: string; url: string }): Fault => {
    if (done || !matches(`${method} ${url}`)) return PASS;
    done = true;
    return fault;
  };
}

test('I 55: the lost answer of a put ends as success', async () => {
  const { proxy, store, left } = await setUp();
  proxy.fault = once((line) => line.startsWith('PUT'), { kind: 'drop-answer' });
  const put = await store.putIfAbsent('object', randomBytes(1000), { signal });
  expect(put.outcome).toBe('same');
  expect(await left()).toEqual({ uploads: 0, objects: ['object'] });
  await proxy[Symbol.asyncDispose]();
});

test('I 55: the lost answer of a complete-multipart ends as success', async () => {
  const { proxy, store, left } = await setUp();
  proxy.fault = once((line) => /^POST .*uploadId=/.test(line), { kind: 'drop-answer' });
  const put = await store.putIfAbsent('object', randomBytes(20_000_000), { signal });
  expect(['same', 'created']).toContain(put.outcome);
  expect(proxy.requests.filter((line) => /^POST .*uploadId=/.test(line)).length).toBeGreaterThan(1);
  expect(await left()).toEqual({ uploads: 0, objects: ['object'] });
  await proxy[Symbol.asyncDispose]();
});

test.for([500, 503])('HTTP %i a few times: tried again, then fine', async (status) => {
  const { proxy, store } = await setUp();
  let failures = 0;
  proxy.fault = () =>
    failures++ < 3
      ? { kind: 'answer', status, code: status === 503 ? 'SlowDown' : 'InternalError', afterMs: 50 }
      : PASS;
  const bytes = randomBytes(100);
  expect((await store.putIfAbsent('object', bytes, { signal })).outcome).toBe('created');
  expect(failures).toBeGreaterThan(3);
  await proxy[Symbol.asyncDispose]();
});

test('HTTP 403 in the middle of an upload: named, and nothing is left', async () => {
  const { proxy, store, left } = await setUp({ patienceMs: 1000 });
  proxy.fault = ({ method, url }) =>
    method === 'PUT' && url.includes('partNumber=2')
      ? { kind: 'answer', status: 403, code: 'AccessDenied' }
      : PASS;
  await expect(store.putIfAbsent('a', randomBytes(30_000_000), { signal })).rejects.toMatchObject({
    code: 'repository.permission',
  });
  expect(await left()).toEqual({ uploads: 0, objects: [] });
  await proxy[Symbol.asyncDispose]();
});

test('a body that is reset or ends early is read on from where it stopped', async () => {
  const { proxy, store } = await setUp();
  const bytes = randomBytes(12_000_000);
  await store.putIfAbsent('object', bytes, { signal });
  let cuts = 0;
  proxy.fault = ({ method }) =>
    method === 'GET' && cuts++ < 3 ? { kind: 'reset-body', afterBytes: 3_000_000 } : PASS;
  const read = Buffer.concat(await Array.fromAsync(await store.get('object', { signal })));
  expect(read.equals(bytes)).toBe(true);
  expect(cuts).toBeGreaterThan(3);
  await proxy[Symbol.asyncDispose]();
});

test('a body that is always cut fails by name', async () => {
  const { proxy, store } = await setUp({ patienceMs: 1000 });
  await store.putIfAbsent('object', randomBytes(5_000_000), { signal });
  proxy.fault = ({ method }) => (method === 'GET' ? { kind: 'refuse' } : PASS);
  await expect((async () => Array.fromAsync(await store.get('object', { signal })))()).rejects.toMatchObject({
    code: 'repository.unreachable',
  });
  await proxy[Symbol.asyncDispose]();
});
