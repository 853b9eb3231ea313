import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectRetentionCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
} from '@aws-sdk/client-s3';
import { afterAll, describe, expect, test, vi } from 'vitest';
import type { OpenPut } from '../../src/storage/store.ts';
import { openStore } from '../../src/storage/open-store.ts';
import { startS3 } from '../support/s3.ts';
import { temporaryFolder } from '../support/tidemark.ts';
import { storeSuite } from './store-suite.ts';

const s3 = await startS3();
const buckets: string[] = [];
const fresh = async () => {
  const bucket = await s3.newBucket();
  buckets.push(bucket);
  return openStore({ url: `s3://${bucket}/some/prefix`, ...s3 });
};

storeSuite(fresh);

test('no upload was left behind by any of the tests before', async () => {
  expect(buckets.length).toBeGreaterThan(10);
  for (const Bucket of buckets) {
    const { Uploads = [] } = await s3.client().send(new ListMultipartUploadsCommand({ Bucket }));
    expect(Uploads).toEqual([]);
  }
});

test('uploads that a kill left are told below a prefix, and ended', async () => {
  const Bucket = await s3.newBucket();
  const store = await openStore({ url: `s3://${Bucket}/some/prefix`, ...s3 });
  const signal = new AbortController().signal;
  for (const Key of ['some/prefix/sources/a', 'some/prefix/sources/b', 'other/sources/a'])
    await s3.client().send(new CreateMultipartUploadCommand({ Bucket, Key }));
  const open = (): Promise<OpenPut[]> => Array.fromAsync(store.openPuts('sources/', { signal }));
  const found = await open();
  expect(found.map(({ key }) => key)).toEqual(['sources/a', 'sources/b']);
  for (const put of found) {
    expect(Math.abs(Date.now() - put.since.getTime())).toBeLessThan(600_000);
    await store.abandon(put, { signal });
    await store.abandon(put, { signal });
  }
  expect(await open()).toEqual([]);
  const { Uploads = [] } = await s3.client().send(new ListMultipartUploadsCommand({ Bucket }));
  expect(Uploads.map(({ Key }) => Key)).toEqual(['other/sources/a']);
});

test('a storage class is asked for and kept', async () => {
  const bucket = await s3.newBucket();
  const store = await openStore({ url: `s3://${bucket}`, ...s3, storageClass: 'STANDARD_IA' });
  const signal = new AbortController().signal;
  expect((await store.putIfAbsent('cold', Buffer.alloc(10_000_000), { signal })).outcome).toBe('created');
  expect(await s3.client().send(new HeadObjectCommand({ Bucket: bucket, Key: 'cold' }))).toMatchObject({
    StorageClass: 'STANDARD_IA',
  });
});

test.for([
  { sse: 'AES256', keyId: undefined },
  { sse: 'aws:kms', keyId: 'test-key' },
] as const)('encryption by the store, $sse: asked for and kept, small and large', async ({ sse, keyId }) => {
  const bucket = await s3.newBucket();
  const store = await openStore({ url: `s3://${bucket}`, ...s3, sse, sseKmsKeyId: keyId });
  const signal = new AbortController().signal;
  for (const [key, size] of [
    ['small', 1000],
    ['large', 20_000_000],
  ] as const) {
    const bytes = randomBytes(size);
    expect((await store.putIfAbsent(key, bytes, { signal })).outcome).toBe('created');
    expect((await store.putIfAbsent(key, bytes, { signal })).outcome).toBe('same');
    const head = await s3.client().send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
    expect(head.ServerSideEncryption).toBe(sse);
    expect(head.SSEKMSKeyId).toBe(keyId);
    const read = Buffer.concat(await Array.fromAsync(await store.get(key, { signal })));
    expect(read.equals(bytes)).toBe(true);
  }
});

test('object lock: what is stored can not be removed before its time, leases can', async () => {
  const Bucket = await s3.newBucket({ objectLock: true });
  const objectLock = { mode: 'COMPLIANCE', retainDays: 3 } as const;
  const store = await openStore({ url: `s3://${Bucket}`, ...s3, objectLock });
  const signal = new AbortController().signal;
  expect(store.capabilities.objectLock).toBe(true);
  for (const [Key, size] of [
    ['small', 1000],
    ['large', 20_000_000],
  ] as const) {
    await store.putIfAbsent(Key, randomBytes(size), { signal });
    const { Retention } = await s3.client().send(new GetObjectRetentionCommand({ Bucket, Key }));
    expect(Retention?.Mode).toBe('COMPLIANCE');
    const days = ((Retention?.RetainUntilDate?.getTime() ?? 0) - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(2.99);
    expect(days).toBeLessThan(3.01);
    const { lockedUntil } = (await store.stat(Key, { signal })) ?? {};
    expect(lockedUntil?.getTime()).toBe(Retention?.RetainUntilDate?.getTime());
    const { VersionId } = await s3.client().send(new HeadObjectCommand({ Bucket, Key }));
    await expect(s3.client().send(new DeleteObjectCommand({ Bucket, Key, VersionId }))).rejects.toMatchObject(
      {
        $metadata: { httpStatusCode: 403 },
      },
    );
  }
  await store.replace('leases/one', Buffer.from('1'), { signal });
  await store.replace('leases/one', Buffer.from('2'), { signal });
  const { VersionId } = await s3.client().send(new HeadObjectCommand({ Bucket, Key: 'leases/one' }));
  await s3.client().send(new DeleteObjectCommand({ Bucket, Key: 'leases/one', VersionId }));
});

describe('credentials from a file', async () => {
  const signal = new AbortController().signal;
  const { endpoint, roleArn } = s3;
  const folder = await temporaryFolder();
  const file = join(folder.path, 'credentials');
  const profile = (name: string, secret: string): string =>
    `[${name}]\naws_access_key_id = ${s3.accessKeyId}\naws_secret_access_key = ${secret}\n`;
  writeFileSync(file, profile('backup', s3.secretAccessKey) + profile('stale', 'wrong'), { mode: 0o600 });
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', file);
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_PROFILE'])
    vi.stubEnv(name, undefined);
  afterAll(async () => {
    vi.unstubAllEnvs();
    await folder[Symbol.asyncDispose]();
  });

  test('a profile is the one that is named', async () => {
    const url = `s3://${await s3.newBucket()}/p`;
    const store = await openStore({ url, endpoint, profile: 'backup' });
    expect((await store.putIfAbsent('x', randomBytes(7_000_000), { signal })).outcome).toBe('created');
    const byUrl = await openStore({ url: `${url}?endpoint=${endpoint}&profile=backup` });
    expect(await byUrl.stat('x', { signal })).toMatchObject({ sizeBytes: 7_000_000 });
    await byUrl.delete('x', { signal });
    const stale = await openStore({ url, endpoint, profile: 'stale' });
    await expect(stale.stat('x', { signal })).rejects.toMatchObject({ code: 'repository.permission' });
    const none = await openStore({ url, endpoint, profile: 'nobody' });
    await expect(none.stat('x', { signal })).rejects.toMatchObject({ code: 'repository.permission' });
  });

  test('a role is assumed by a profile, at the store’s own endpoint, and may do what it may', async () => {
    const url = `s3://${await s3.newBucket()}`;
    const store = await openStore({ url, endpoint, profile: 'backup', roleArn });
    expect((await store.putIfAbsent('x', randomBytes(7_000_000), { signal })).outcome).toBe('created');
    expect(await store.stat('x', { signal })).toMatchObject({ sizeBytes: 7_000_000 });
    await expect(store.delete('x', { signal })).rejects.toMatchObject({ code: 'repository.permission' });
    const other = await openStore({ url, endpoint, profile: 'backup', roleArn: `${roleArn}-no-such` });
    await expect(other.stat('x', { signal })).rejects.toMatchObject({ code: 'repository.permission' });
    const dead = await openStore({ url, endpoint: 'http://127.0.0.1:9', profile: 'backup', roleArn });
    await expect(dead.stat('x', { signal })).rejects.toMatchObject({ code: 'repository.unreachable' });
  });
});

test('wrong secret, missing bucket, dead endpoint: named', async () => {
  const signal = new AbortController().signal;
  const bucket = await s3.newBucket();
  const put = (settings: Parameters<typeof openStore>[0]) =>
    openStore(settings).then((store) => store.putIfAbsent('x', Buffer.from('x'), { signal }));
  await expect(put({ url: `s3://${bucket}`, ...s3, secretAccessKey: 'wrong' })).rejects.toMatchObject({
    code: 'repository.permission',
  });
  await expect(put({ url: 's3://no-such-bucket-here', ...s3 })).rejects.toMatchObject({
    code: 'repository.not_found',
  });
  await expect(put({ url: `s3://${bucket}`, ...s3, endpoint: 'http://127.0.0.1:9' })).rejects.toMatchObject({
    code: 'repository.unreachable',
  });
});

afterAll(() => s3[Symbol.asyncDispose]());
