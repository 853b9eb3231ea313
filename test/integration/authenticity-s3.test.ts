import { afterAll, expect, test } from 'vitest';
import { sampleDatabase, testServer } from '../support/postgres.ts';
import { startS3 } from '../support/s3.ts';
import { signingCompany } from '../support/signing-company.ts';
import { refusesForgeries } from './forgery-suite.ts';

const s3 = await startS3();
afterAll(() => s3[Symbol.asyncDispose]());

test('in a bucket, what was forged, unsigned or signed by another is refused', async () => {
  await using server = await testServer(17);
  const source = await sampleDatabase(server);
  await using mine = await signingCompany(source, { url: `s3://${await s3.newBucket()}/backups`, s3 });
  await expect(refusesForgeries(mine, { server, source })).resolves.toBeUndefined();
});
