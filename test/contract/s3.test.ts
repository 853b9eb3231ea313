import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { afterAll, expect, test } from 'vitest';
import { openStore } from '../../src/storage/open-store.ts';
import { startS3 } from '../support/s3.ts';
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

test('a storage class is asked for and kept', async () => {
  const bucket = await s3.newBucket();
  const store = await openStore({ url: `s3://${bucket}`, ...s3, storageClass: 'STANDARD_IA' });
  const signal = new AbortController().signal;
  expect((await store.putIfAbsent('cold', Buffer.alloc(10_000_000), { signal })).outcome).toBe('created');
  const { HeadObjectCommand } = await import('@aws-sdk/client-s3');
  expect(await s3.client().send(new HeadObjectCommand({ Bucket: bucket, Key: 'cold' }))).toMatchObject({
    StorageClass: 'STANDARD_IA',
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
