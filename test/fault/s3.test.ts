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
  const { proxy, store, left } = await setUp();
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

test.for([10, 30_000_000])(
  'HTTP 503 for ever ends a put of %i bytes when patience ends, and nothing is left',
  async (size) => {
    const { proxy, store, left } = await setUp({ patienceMs: 1000 });
    await store.putIfAbsent('before', Buffer.from('the store has answered'), { signal });
    proxy.fault = ({ method }) =>
      method === 'PUT' ? { kind: 'answer', status: 503, code: 'SlowDown', afterMs: 100 } : PASS;
    const began = performance.now();
    await expect(store.putIfAbsent('b', randomBytes(size), { signal })).rejects.toMatchObject({
      code: 'repository.throttled',
    });
    expect(performance.now() - began).toBeLessThan(20_000);
    expect(await left()).toEqual({ uploads: 0, objects: ['before'] });
    await proxy[Symbol.asyncDispose]();
  },
);

test('an outage of three seconds in the middle of an upload is waited out', async () => {
  const { proxy, store, left } = await setUp();
  let until: number | undefined;
  let refused = 0;
  proxy.fault = ({ url }) => {
    if (url.includes('partNumber=2')) until ??= performance.now() + 3000;
    if (until === undefined || performance.now() > until) return PASS;
    refused += 1;
    return { kind: 'refuse' };
  };
  const bytes = randomBytes(30_000_000);
  expect((await store.putIfAbsent('object', bytes, { signal })).outcome).toBe('created');
  expect(refused).toBeGreaterThan(2);
  const read = Buffer.concat(await Array.fromAsync(await store.get('object', { signal })));
  expect(read.equals(bytes)).toBe(true);
  expect(await left()).toEqual({ uploads: 0, objects: ['object'] });
  await proxy[Symbol.asyncDispose]();
});

test('a store that never answered is told soon, whatever the patience', async () => {
  const { proxy, store } = await setUp({ patienceMs: 600_000 });
  proxy.fault = () => ({ kind: 'refuse' });
  const began = performance.now();
  await expect(store.putIfAbsent('object', randomBytes(10), { signal })).rejects.toMatchObject({
    code: 'repository.unreachable',
  });
  expect(performance.now() - began).toBeLessThan(10_000);
  await proxy[Symbol.asyncDispose]();
});

test('^C ends the wait for a store that is away', async () => {
  const { proxy, store } = await setUp({ patienceMs: 600_000 });
  await store.putIfAbsent('before', randomBytes(10), { signal });
  const stop = new AbortController();
  proxy.fault = ({ count }) => {
    if (count > 5) stop.abort();
    return { kind: 'refuse' };
  };
  await expect(store.putIfAbsent('x', randomBytes(10), { signal: stop.signal })).rejects.toMatchObject({
    code: 'interrupted',
  });
  await proxy[Symbol.asyncDispose]();
});

test.for([10, 20_000_000])('a 409 for %i bytes is another write under way: tried again', async (size) => {
  const { proxy, store, left } = await setUp();
  const isLast = (line: string) => (size > 100 ? /^POST .*uploadId=/.test(line) : line.startsWith('PUT'));
  proxy.fault = once(isLast, { kind: 'answer', status: 409, code: 'ConditionalRequestConflict' });
  expect((await store.putIfAbsent('object', randomBytes(size), { signal })).outcome).toBe('created');
  expect(proxy.requests.filter(isLast)).toHaveLength(2);
  expect(await left()).toEqual({ uploads: 0, objects: ['object'] });
  await proxy[Symbol.asyncDispose]();
});

test('an upload that the store dropped is a failure, not another object', async () => {
  const { proxy, store, left } = await setUp();
  proxy.fault = once((line) => /^POST .*uploadId=/.test(line), {
    kind: 'answer',
    status: 404,
    code: 'NoSuchUpload',
  });
  await expect(store.putIfAbsent('object', randomBytes(20_000_000), { signal })).rejects.toMatchObject({
    code: 'repository.error',
  });
  expect(await left()).toEqual({ uploads: 0, objects: [] });
  await proxy[Symbol.asyncDispose]();
});

test('an upload that is stopped while its parts hang leaves nothing', async () => {
  const { proxy, store, left } = await setUp();
  const stop = new AbortController();
  proxy.fault = ({ url }) => {
    if (!url.includes('partNumber=2')) return PASS;
    setImmediate(() => stop.abort());
    return { kind: 'stall' };
  };
  await expect(
    store.putIfAbsent('object', randomBytes(40_000_000), { signal: stop.signal }),
  ).rejects.toMatchObject({ code: 'interrupted' });
  expect(proxy.requests.some((line) => line.startsWith('DELETE'))).toBe(true);
  expect(await left()).toEqual({ uploads: 0, objects: [] });
  await proxy[Symbol.asyncDispose]();
});

test('a put that is never answered is dead after its silence, and sent again', async () => {
  const { proxy, store } = await setUp({ silenceMs: 1000 });
  proxy.fault = once((line) => line.startsWith('PUT'), { kind: 'stall' });
  expect((await store.putIfAbsent('object', randomBytes(3_000_000), { signal })).outcome).toBe('created');
  expect(proxy.requests.filter((line) => line.startsWith('PUT'))).toHaveLength(2);
  await proxy[Symbol.asyncDispose]();
});

test.for(['cut-body', 'stall-body'] as const)('I 20: %s: read on from where it stopped', async (kind) => {
  const { proxy, store } = await setUp({ silenceMs: 1000 });
  const bytes = randomBytes(9_000_000);
  await store.putIfAbsent('object', bytes, { signal });
  let gets = 0;
  proxy.fault = ({ method }) => (method === 'GET' && gets++ < 2 ? { kind, afterBytes: 3_000_000 } : PASS);
  const whole = Buffer.concat(await Array.fromAsync(await store.get('object', { signal })));
  expect(whole.equals(bytes)).toBe(true);
  const range = { offset: 1_000_000, length: 7_000_000 };
  gets = 0;
  const part = Buffer.concat(await Array.fromAsync(await store.get('object', { signal, range })));
  expect(part.equals(bytes.subarray(1_000_000, 8_000_000))).toBe(true);
  expect(gets).toBe(3);
  await proxy[Symbol.asyncDispose]();
});

test('I 20: a body that never comes whole fails by name', async () => {
  const { proxy, store } = await setUp();
  await store.putIfAbsent('object', randomBytes(5_000_000), { signal });
  proxy.fault = ({ method }) => (method === 'GET' ? { kind: 'cut-body', afterBytes: 0 } : PASS);
  await expect((async () => Array.fromAsync(await store.get('object', { signal })))()).rejects.toMatchObject({
    code: expect.stringMatching(/^(integrity\.truncated|repository\.unreachable)$/) as string,
  });
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
