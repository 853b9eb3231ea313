import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { execa } from 'execa';
import { startFakeVault } from './fake-vault.ts';
import { freePortPair } from './ports.ts';

const ROOT = fileURLToPath(new URL('../../.cache/s3', import.meta.url));
const RUN = fileURLToPath(new URL('../../docker/testbed/s3-run.sh', import.meta.url));

export interface TestS3 extends AsyncDisposable {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** A role that the user may assume, and that may not delete. */
  readonly roleArn: string;
  /** A client of the SDK's own, to look behind the store. */
  client(): S3Client;
  newBucket(options?: { objectLock?: boolean }): Promise<string>;
}

/** A real S3 server: the one named by TIDEMARK_TEST_S3 (with AWS_* keys, and TIDEMARK_TEST_S3_ROLE), else Ceph from docker/testbed. */
export async function startS3(): Promise<TestS3> {
  const given = process.env['TIDEMARK_TEST_S3'];
  if (given !== undefined) {
    const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = process.env;
    return handle({
      endpoint: given,
      accessKeyId: AWS_ACCESS_KEY_ID,
      secretAccessKey: AWS_SECRET_ACCESS_KEY,
      roleArn: process.env['TIDEMARK_TEST_S3_ROLE'] ?? '',
      stop: async () => undefined,
    });
  }
  if (!existsSync(`${ROOT}/.complete`))
    throw new Error('no S3 server: run sh docker/setup.sh test, or set TIDEMARK_TEST_S3');
  for (let tries = 1; ; tries += 1) {
    try {
      return await startCeph();
    } catch (error) {
      if (tries === 3) throw error;
    }
  }
}

/** Longer than any start takes; one that comes to nothing, as when somebody else took its port, waits forever. */
const START_MS = 45_000;

async function startCeph(): Promise<TestS3> {
  const [port, monitor] = [await freePortPair(), await freePortPair()];
  const keys = { accessKeyId: 'test', secretAccessKey: randomBytes(12).toString('hex') };
  const vault = await startFakeVault();
  const server = execa(RUN, [ROOT], {
    env: {
      S3_PORT: String(port),
      MON_PORT: String(monitor),
      S3_ACCESS_KEY: keys.accessKeyId,
      S3_SECRET_KEY: keys.secretAccessKey,
      VAULT_ADDR: vault.url,
    },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
    reject: false,
    buffer: false,
  });
  const stop = async (): Promise<void> => {
    server.kill('SIGKILL');
    await server;
    await vault[Symbol.asyncDispose]();
  };
  const lines = createInterface({ input: server.stdout });
  const said: string[] = [];
  const ready = Promise.withResolvers<void>();
  lines.on('line', (line) => {
    said.push(line);
    if (line === 'S3 ready') ready.resolve();
  });
  const failed = (): void =>
    ready.reject(new Error(`the S3 server did not start: ${said.slice(-10).join('\n')}`));
  lines.on('close', failed);
  const timer = setTimeout(failed, START_MS);
  try {
    await ready.promise;
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  const roleArn = 'arn:aws:iam:::role/backup';
  return handle({ endpoint: `http://127.0.0.1:${port}`, ...keys, roleArn, stop });
}

let buckets = 0;

function handle(facts: {
  endpoint: string;
  accessKeyId: string;
  secretAccessKey: string;
  roleArn: string;
  stop: () => Promise<void>;
}): TestS3 {
  const { endpoint, accessKeyId, secretAccessKey, roleArn } = facts;
  const client = (): S3Client =>
    new S3Client({
      endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
    });
  return {
    endpoint,
    accessKeyId,
    secretAccessKey,
    roleArn,
    client,
    newBucket: async (options = {}) => {
      const Bucket = `test-${Date.now()}-${(buckets += 1)}`;
      await client().send(
        new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: options.objectLock ?? false }),
      );
      return Bucket;
    },
    [Symbol.asyncDispose]: facts.stop,
  };
}
