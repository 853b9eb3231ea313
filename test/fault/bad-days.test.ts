// Whole commands on bad days: what the store or the network does to a snapshot and a restore, and what is left.
import { readdirSync } from 'node:fs';
import {
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import {
  absentDatabase,
  newDatabase,
  rows,
  sampleDatabase,
  sql,
  stockDump,
  testServer,
} from '../support/postgres.ts';
import { faultProxy } from '../support/fault-proxy.ts';
import type { Fault, FaultProxy } from '../support/fault-proxy.ts';
import { startS3 } from '../support/s3.ts';
import type { TestS3 } from '../support/s3.ts';
import { tcpProxy } from '../support/tcp-proxy.ts';
import { start, temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

let server: ThrowawayServer;
let source: string;
let s3: TestS3;
beforeAll(async () => {
  server = await testServer(17);
  source = await sampleDatabase(server, 0.05);
  s3 = await startS3();
}, 120_000);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await s3[Symbol.asyncDispose]();
});

const PASS: Fault = { kind: 'pass' };

async function bucketBehindProxy() {
  const proxy = await faultProxy(s3.endpoint);
  const bucket = await s3.newBucket();
  const env = { AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey };
  const at = (endpoint: string): string[] => [
    '--url',
    source,
    '--repository',
    `s3://${bucket}?endpoint=${endpoint}`,
  ];
  const left = async () => {
    const client = s3.client();
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
    client.destroy();
    return { uploads: Uploads.length, objects: Contents.map((object) => object.Key ?? '') };
  };
  return { proxy, env, bucket, args: at(proxy.url), direct: at(s3.endpoint), left };
}

/** Every n-th request breaks, each time in another way. */
function stumbling(every: number, faults: readonly Fault[]): FaultProxy['fault'] {
  let turn = 0;
  return ({ count }) => (count % every === 0 ? (faults[turn++ % faults.length] ?? PASS) : PASS);
}

const SHORT: readonly Fault[] = [
  { kind: 'answer', status: 500, code: 'InternalError' },
  { kind: 'answer', status: 503, code: 'SlowDown', afterMs: 300 },
  { kind: 'drop-answer' },
  { kind: 'refuse' },
];

test('a store that stumbles at every third request: snapshot, verify and restore come through', async () => {
  const { proxy, env, args, left } = await bucketBehindProxy();
  await using stumbles = proxy;
  stumbles.fault = stumbling(3, SHORT);
  await tidemarkJson(['snapshot', ...args], { env });
  expect((await left()).uploads).toBe(0);
  stumbles.fault = stumbling(3, [
    ...SHORT,
    { kind: 'reset-body', afterBytes: 3000 },
    { kind: 'cut-body', afterBytes: 5000 },
  ]);
  await tidemarkJson(['verify', ...args, '--deep'], { env });
  const target = absentDatabase(server);
  await tidemarkJson(['restore', ...args, '--target', target, '--create'], { env });
  expect(await stockDump(target, 17)).toBe(await stockDump(source, 17));
});

test('rights that are taken away during a snapshot: 8, and nothing that counts', async () => {
  const { proxy, env, args, direct, left } = await bucketBehindProxy();
  await using refusing = proxy;
  let puts = 0;
  // The third object and all after it; deleting what is there already is allowed.
  refusing.fault = ({ method }) =>
    method === 'PUT' && (puts += 1) > 3 ? { kind: 'answer', status: 403, code: 'AccessDenied' } : PASS;
  const { exitCode, stderr } = await tidemark(['snapshot', ...args], { env });
  expect(stderr).toContain('repository.permission');
  expect(exitCode).toBe(8);
  const found = await left();
  expect(found.uploads).toBe(0);
  expect(found.objects.filter((key) => key.includes('/snapshots/'))).toEqual([]);
  expect(await tidemarkJson(['list', ...direct], { env })).toMatchObject({ snapshots: [] });
});

test('an archive that was cut in the bucket: restore and verify say so, and a restore can go on when it is whole', async () => {
  const { proxy, env, direct, bucket } = await bucketBehindProxy();
  await using _ = proxy;
  await tidemarkJson(['snapshot', ...direct], { env });
  const client = s3.client();
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
  const Key = Contents.find((object) => object.Key?.endsWith('data-0001.tar') === true)?.Key;
  const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key }));
  const whole = (await Body?.transformToByteArray()) ?? new Uint8Array();
  const put = (body: Uint8Array) => client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: body }));
  await put(whole.subarray(0, whole.length / 2));
  const target = absentDatabase(server);
  const restore = ['restore', ...direct, '--target', target];
  const cut = await tidemark([...restore, '--create'], { env });
  expect(cut.stderr).toContain('integrity.truncated');
  expect(cut.stderr).toContain('half restored');
  expect(cut.exitCode).toBe(9);
  expect((await tidemark(['verify', ...direct], { env })).exitCode).toBe(9);
  await put(whole);
  client.destroy();
  await tidemarkJson(restore, { env });
  expect(await stockDump(target, 17)).toBe(await stockDump(source, 17));
});

/** The same server through a network of ours; questions that take no time must be answered within 2 s. */
async function behindNetwork(url: string) {
  const network = await tcpProxy(Number(new URL(url).port));
  const through = new URL(url);
  through.port = String(network.port);
  through.search = '?tcp_user_timeout=2000&connect_timeout=2';
  return { network, url: through.href };
}

test.each([
  ['goes silent', 'silence', 'source.lost'],
  ['turns into noise', 'mangle', 'source.'],
] as const)(
  'I 32: the network to the source %s in the middle of a snapshot: an end with its code, nothing left',
  async (_, what, code) => {
    const long = await newDatabase(server);
    await sql(
      long,
      'CREATE TABLE t AS SELECT n, repeat(md5(n::text), 30) AS v FROM generate_series(1, 600000) n',
    );
    const { network, url } = await behindNetwork(long);
    await using breaking = network;
    await using folder = await temporaryFolder();
    const running = start(['snapshot', '--url', url, '--repository', folder.path, '--compression', 'gzip']);
    await until(
      async () =>
        (
          await rows(
            long,
            "SELECT FROM pg_stat_activity WHERE application_name = 'tidemark snapshot' AND query LIKE 'COPY%' AND state = 'active'",
          )
        ).length > 0,
    );
    // The stock tools come first, and end with words of their own.
    const names = (): string[] => readdirSync(folder.path, { recursive: true, encoding: 'utf8' });
    await until(() =>
      ['schema.dump', 'globals.sql'].every((name) => names().some((path) => path.endsWith(name))),
    );
    breaking[what]();
    const { exitCode, stderr } = await running;
    expect(stderr).toContain(`code:   ${code}`);
    expect(stderr).not.toContain('    at ');
    expect(exitCode).toBe(6);
    const files = readdirSync(folder.path, { recursive: true, withFileTypes: true });
    expect(
      files
        .filter((entry) => entry.isFile())
        .map((entry) => entry.name)
        .sort(),
    ).toEqual(['repository.json', 'source.json']);
  },
);

test('I 32: the network to the target goes silent in the middle of a restore: target.lost, and it goes on later', async () => {
  await using folder = await temporaryFolder();
  const common = ['--url', source, '--repository', folder.path];
  await tidemarkJson(['snapshot', ...common]);
  const target = await newDatabase(server);
  const { network, url } = await behindNetwork(target);
  await using silent = network;
  const running = start(['restore', ...common, '--target', url]);
  await until(async () =>
    rows(target, "SELECT FROM tidemark_restore.progress WHERE item LIKE 'range:%'").then(
      (found) => found.length > 0,
      () => false,
    ),
  );
  silent.silence();
  const { exitCode, stderr } = await running;
  expect(stderr).toContain('target.lost');
  expect(stderr).toContain('the same command goes on from here');
  expect(exitCode).toBe(7);
  await sql(
    target,
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemark restore' AND datname = current_database()",
  );
  await tidemarkJson(['restore', ...common, '--target', target]);
  expect(await stockDump(target, 17)).toBe(await stockDump(source, 17));
});
