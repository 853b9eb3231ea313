// kill -9 and ^C at every named place of the S3 store, in the middle of a snapshot, and what is left in the bucket.
import { ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { counted, interruptedAt, killedAt, serverIsFree } from '../support/failpoints.ts';
import type { Of } from '../support/failpoints.ts';
import { sampleDatabase, testServer } from '../support/postgres.ts';
import { startS3 } from '../support/s3.ts';
import type { TestS3 } from '../support/s3.ts';
import { tidemarkJson } from '../support/tidemark.ts';

let server: ThrowawayServer;
let source: string;
let s3: TestS3;
beforeAll(async () => {
  server = await testServer(17);
  source = await sampleDatabase(server, 0.01);
  s3 = await startS3();
}, 120_000);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await s3[Symbol.asyncDispose]();
});

/** An empty bucket, and a snapshot into it whose archive takes several parts. */
async function setUp() {
  const Bucket = await s3.newBucket();
  const repository = ['--url', source, '--repository', `s3://${Bucket}?endpoint=${s3.endpoint}`];
  const env = { AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey };
  const left = async () => {
    const client = s3.client();
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }));
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket }));
    client.destroy();
    return { uploads: Uploads.length, objects: Contents.map(({ Key = '' }) => Key) };
  };
  return {
    args: ['snapshot', ...repository, '--jobs', '1', '--compression', 'none'],
    verify: () => tidemarkJson(['verify', ...repository], { env }),
    env,
    left,
    counted: () => counted({ url: `s3://${Bucket}`, ...s3 }),
  };
}

/** What is being put, and whether it exists when the program ends there. */
const POINTS: Readonly<
  Record<Of<'s3'>, { readonly of: 'archive' | 'single object'; readonly exists: boolean }>
> = {
  's3.part-sent': { of: 'archive', exists: false },
  's3.before-complete': { of: 'archive', exists: false },
  's3.after-complete': { of: 'archive', exists: true },
  's3.before-put': { of: 'single object', exists: false },
  's3.after-put': { of: 'single object', exists: true },
};

test.for(Object.entries(POINTS).filter(([, { of }]) => of === 'archive'))(
  'P2: kill -9 and ^C at %s of an archive: it is whole or not there, and counts for nothing',
  async ([name, { exists }]) => {
    const point = name as Of<'s3'>;
    const { args, env, left, counted, verify } = await setUp();
    await killedAt({ point, args, env });
    const killed = await left();
    expect(killed.objects.filter((key) => key.endsWith('.tar'))).toHaveLength(exists ? 1 : 0);
    // Parts of an upload that nobody ends stay, and are no object: a bucket's lifecycle rule is for those.
    expect(killed.uploads).toBe(exists ? 0 : 1);
    expect(await interruptedAt({ point, args, env })).toBe(130);
    const stopped = await left();
    expect(stopped.uploads).toBe(killed.uploads);
    expect(stopped.objects.filter((key) => !killed.objects.includes(key))).toEqual([]);
    expect((await counted()).snapshots).toBe(0);
    await serverIsFree(server.url());
    await tidemarkJson(args, { env });
    expect((await counted()).snapshots).toBe(1);
    await verify();
  },
);

test.for(Object.entries(POINTS).filter(([, { of }]) => of === 'single object'))(
  'P2: kill -9 and ^C at %s of the first object and of the manifest: whole or not there',
  async ([name, { exists }]) => {
    const point = name as Of<'s3'>;
    const { args, env, left, counted, verify } = await setUp();
    await killedAt({ point, args, env });
    expect((await left()).objects).toEqual(exists ? ['repository.json'] : []);
    await tidemarkJson(args, { env });
    const objects = (await left()).objects.filter((key) => key.includes('/snapshots/'));
    // All but the archive are single puts, the manifest last; source.json is there already.
    const time = objects.length - 1;
    await killedAt({ point, time, args, env });
    expect((await counted()).snapshots).toBe(exists ? 2 : 1);
    // Who stops it now has asked too late: the answer is waited for, and the snapshot is there.
    expect(await interruptedAt({ point, time, args, env })).toBe(0);
    await serverIsFree(server.url());
    expect((await counted()).snapshots).toBe(exists ? 3 : 2);
    await verify();
  },
);
