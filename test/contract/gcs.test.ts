import { afterAll, expect, test } from 'vitest';
import { openStore } from '../../src/storage/open-store.ts';
import { faultProxy } from '../support/fault-proxy.ts';
import { startS3 } from '../support/s3.ts';
import { storeSuite } from './store-suite.ts';

/** Refuses what Google's XML API refuses: the SDK's checksum headers and trailers, and deletes of many at once. */
const s3 = await startS3();
const proxy = await faultProxy(s3.endpoint);
let refused = 0;
proxy.fault = ({ method, url, headers }) => {
  const names = Object.keys(headers).filter((name) =>
    /^x-amz-(checksum-|sdk-checksum-algorithm|trailer)/.test(name),
  );
  const many = method === 'POST' && /[?&]delete(=|&|$)/.test(url);
  if ((names.length === 0 || method === 'GET' || method === 'HEAD') && !many) return { kind: 'pass' };
  refused += 1;
  return {
    kind: 'answer',
    status: many ? 400 : 403,
    code: many ? 'InvalidArgument' : 'SignatureDoesNotMatch',
  };
};
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await s3[Symbol.asyncDispose]();
});

storeSuite(async () =>
  openStore({ url: `gs://${await s3.newBucket()}/prefix`, ...s3, endpoint: proxy.url, region: 'us-east-1' }),
);

test('the proxy would have refused the other dialect, and refused nothing of this one', async () => {
  expect(refused).toBe(0);
  const store = await openStore({ url: `s3://${await s3.newBucket()}`, ...s3, endpoint: proxy.url });
  const put = store.putIfAbsent('object', Buffer.from('x'), { signal: new AbortController().signal });
  await expect(put).rejects.toMatchObject({ code: 'repository.permission' });
});
