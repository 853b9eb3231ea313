// `npm run bench`: side by side with the stock tools in one run, as ratios with min, median and max. Never asserted.
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import { execa } from 'execa';
import { generateIdentity } from '../../src/archive/age.ts';
import { parseConnectionUrl } from '../../src/postgres/connection-settings.ts';
import { libpqEnvironment } from '../../src/postgres/libpq-environment.ts';
import { chooseTools } from '../../src/postgres/tools.ts';
import {
  absentDatabase,
  newDatabase,
  rows,
  sampleDatabase,
  sql,
  testServer,
  tools,
} from '../support/postgres.ts';
import { faultProxy } from '../support/fault-proxy.ts';
import { startS3 } from '../support/s3.ts';
import type { TestS3 } from '../support/s3.ts';
import { start } from '../support/tidemark.ts';
import { measure, print, report, sizeOf, watchProcess } from './measure.ts';
import type { Measured } from './measure.ts';
import { captures } from './capture.ts';
import { plans } from './plan.ts';
import { replays } from './replay.ts';

const { values } = parseArgs({
  options: {
    scale: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    jobs: { type: 'string', default: '2' },
    /** GB of the one large transaction that capture goes through, at scale 1. */
    large: { type: 'string', default: '1' },
    major: { type: 'string', default: '17' },
    /** dump, table, restore, s3, part, memory, capture, replay, plan: some of them, with commas between. */
    only: { type: 'string', default: 'dump,table,restore,s3,part,capture,replay,plan' },
  },
});
const { jobs } = values;
const rounds = Number(values.rounds);
const major = Number(values.major) as 17;
const SETTINGS = {
  shared_buffers: '512MB',
  max_wal_size: '8GB',
  maintenance_work_mem: '256MB',
  // It would wake up in the middle of some runs and not of others.
  autovacuum: 'off',
};
const server = await testServer(major, SETTINGS);
const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
const stock = chooseTools(await tools(), major);

try {
  print(`scale ${values.scale}, PostgreSQL ${major}, ${jobs} connections, ${rounds} rounds`);
  const wanted = new Set(values.only.split(','));
  const needs = (...parts: readonly string[]): boolean => parts.some((part) => wanted.has(part));
  const source = needs('dump', 'restore', 's3') ? await loadSample() : '';
  const big = needs('table', 'memory') ? await loadBig() : '';
  if (needs('dump')) await dumps(source);
  if (needs('table')) await oneTable(big);
  if (needs('restore')) await restores(source);
  if (needs('s3', 'part')) {
    await using s3 = await startS3();
    if (needs('s3')) await intoBucket(source, s3);
    if (needs('part')) await oneOfHundred(s3);
  }
  if (needs('memory')) await memory(big);
  if (needs('capture')) {
    const large = Number(values.large);
    await captures({ server, folder, rounds, scale: Number(values.scale), largeGb: large });
  }
  if (needs('plan')) await plans(Number(values.scale));
  if (needs('replay')) {
    await using target = await testServer(major, SETTINGS);
    await replays({ source: server, target, folder, rounds }, Number(values.scale));
  }
} finally {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
}

async function loadSample(): Promise<string> {
  const source = await sampleDatabase(server, Number(values.scale));
  await sql(source, 'VACUUM ANALYZE');
  return source;
}

/** About 0.57 GB of COPY text at scale 1. */
async function loadBig(): Promise<string> {
  const big = await newDatabase(server);
  await sql(
    big,
    `CREATE TABLE big AS SELECT n AS id, md5(n::text) AS key, repeat('some text that repeats, ', 5) || n % 1000 AS body, n / 7.0 AS amount FROM generate_series(1, ${Math.round(3_000_000 * Number(values.scale))}) n`,
  );
  await sql(big, 'VACUUM ANALYZE');
  return big;
}

/** Straight into a bucket, against a dump to disk and its upload by as many connections afterwards. */
async function intoBucket(source: string, s3: TestS3): Promise<void> {
  report(
    'into S3',
    'tidemark',
    await measure(
      {
        tidemark: () => snapshotInto(source, s3),
        'pg_dump -Fd zstd:1, then its upload': async () => {
          const started = performance.now();
          const { bytes } = await dump(source, ['--compress=zstd:1'], 'for-upload.dump');
          await upload(join(folder, 'for-upload.dump'), s3);
          const milliseconds = performance.now() - started;
          await rm(join(folder, 'for-upload.dump'), { recursive: true });
          return { milliseconds, ...(bytes !== undefined && { bytes }) };
        },
      },
      rounds,
    ),
  );
}

async function upload(directory: string, s3: TestS3): Promise<void> {
  const client = s3.client();
  const bucket = await s3.newBucket();
  const names = (await readdir(directory)).values();
  const worker = async (): Promise<void> => {
    for (const name of names) {
      const path = join(directory, name);
      const { size } = await stat(path);
      await client.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: name,
          Body: createReadStream(path),
          ContentLength: size,
        }),
      );
    }
  };
  await Promise.all(Array.from({ length: Number(jobs) }, worker));
  client.destroy();
}

async function snapshotInto(source: string, s3: TestS3): Promise<Measured> {
  const bucket = await s3.newBucket();
  const where = `s3://${bucket}?endpoint=${s3.endpoint}`;
  return tidemark(['snapshot', '--url', source, '--repository', where, '--jobs', jobs], keysOf(s3));
}

function keysOf(s3: TestS3): Record<string, string> {
  return { AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey };
}

/** One table of a hundred, out of a bucket: how much of what is stored has to be read. */
async function oneOfHundred(s3: TestS3): Promise<void> {
  const hundred = await newDatabase(server);
  for (let number = 1; number <= 100; number += 1) {
    await sql(
      hundred,
      `CREATE TABLE t${number} AS SELECT n AS id, md5(n::text || ${number}) AS key, md5(key::text) AS other FROM generate_series(1, 20000) n, (SELECT ${number} AS key) k`,
    );
  }
  await using proxy = await faultProxy(s3.endpoint);
  const bucket = await s3.newBucket();
  const common = ['--url', hundred, '--repository', `s3://${bucket}?endpoint=${proxy.url}`, '--jobs', jobs];
  await tidemark(['snapshot', ...common], keysOf(s3));
  const { Contents = [] } = await s3.client().send(new ListObjectsV2Command({ Bucket: bucket }));
  const stored = Contents.reduce((sum, object) => sum + (object.Size ?? 0), 0);
  const before = proxy.answeredBytes;
  const target = absentDatabase(server);
  const { milliseconds } = await tidemark(
    ['restore', ...common, '--target', target, '--create', '--table', 'public.t50'],
    keysOf(s3),
  );
  await drop(target);
  const read = proxy.answeredBytes - before;
  print(
    `\none table of a hundred, from S3: ${(read / 1e6).toFixed(2)} MB read of ${(stored / 1e6).toFixed(1)} MB stored (${((100 * read) / stored).toFixed(1)} %), ${(milliseconds / 1000).toFixed(1)} s`,
  );
}

/** Peak memory over one table, there and back. */
async function memory(big: string): Promise<void> {
  const [size] = await rows<{ size: string }>(big, "SELECT pg_table_size('big')::text AS size");
  const there = await snapshot(big, 'memory', [], true);
  const target = absentDatabase(server);
  const repository = ['--url', big, '--repository', join(folder, 'memory')];
  const back = await tidemark(['restore', ...repository, '--target', target, '--create', '--jobs', jobs]);
  await drop(target);
  await rm(join(folder, 'memory'), { recursive: true });
  print(
    `\none table of ${(Number(size?.size) / 1e9).toFixed(1)} GB: peak RSS ${((there.peakRss ?? 0) / 1e6).toFixed(0)} MB for the snapshot, ${((back.peakRss ?? 0) / 1e6).toFixed(0)} MB for the restore`,
  );
}

async function dumps(source: string): Promise<void> {
  const keys = await generateIdentity();
  const config = join(folder, 'encrypted.yaml');
  await writeFile(config, `encryption: { recipients: [ ${keys.recipient} ] }\n`);
  const runs = {
    tidemark: () => snapshot(source, 'plain'),
    'tidemark, encrypted': () => snapshot(source, 'sealed', ['-c', config]),
    'tidemark, binary': () => snapshot(source, 'binary', ['--format', 'binary']),
    'pg_dump -Fd (its default, gzip)': () => dump(source, []),
    'pg_dump -Fd zstd:1': () => dump(source, ['--compress=zstd:1']),
    'floor: COPY TO /dev/null in the server': () => floor(source),
  };
  report('dump', 'tidemark', await measure(runs, rounds));
}

async function oneTable(big: string): Promise<void> {
  report(
    'one big table',
    'tidemark',
    await measure(
      {
        tidemark: () => snapshot(big, 'big'),
        'pg_dump -Fd zstd:1': () => dump(big, ['--compress=zstd:1']),
      },
      rounds,
    ),
  );
}

async function restores(source: string): Promise<void> {
  await snapshot(source, 'for-restore', [], true);
  await dump(source, ['--compress=zstd:1'], 'for-restore.dump');
  report(
    'restore',
    'tidemark',
    await measure(
      {
        tidemark: async () => {
          const target = absentDatabase(server);
          const result = await tidemark([
            'restore',
            '--url',
            source,
            '--repository',
            join(folder, 'for-restore'),
            '--target',
            target,
            '--create',
            '--jobs',
            jobs,
          ]);
          await drop(target);
          return result;
        },
        [`pg_restore -j ${jobs}`]: () => stockRestore({ analyze: false }),
        [`pg_restore -j ${jobs}, then ANALYZE`]: () => stockRestore({ analyze: true }),
      },
      rounds,
    ),
  );
}

async function stockRestore(options: { readonly analyze: boolean }): Promise<Measured> {
  const target = await newDatabase(server);
  const started = performance.now();
  await execa(
    stock.pgRestore,
    ['-j', jobs, '-d', new URL(target).pathname.slice(1), join(folder, 'for-restore.dump')],
    { env: environment(target), extendEnv: false },
  );
  if (options.analyze) await sql(target, 'ANALYZE');
  const milliseconds = performance.now() - started;
  await drop(target);
  return { milliseconds };
}

async function snapshot(
  source: string,
  name: string,
  args: readonly string[] = [],
  keep = false,
): Promise<Measured> {
  const repository = join(folder, name);
  const result = await tidemark([
    'snapshot',
    '--url',
    source,
    '--repository',
    repository,
    '--jobs',
    jobs,
    ...args,
  ]);
  const bytes = await sizeOf(repository);
  if (!keep) await rm(repository, { recursive: true });
  return { ...result, bytes };
}

/** The program's own peak memory, as the kernel saw it at its end. */
async function tidemark(args: readonly string[], env: Record<string, string> = {}): Promise<Measured> {
  const started = performance.now();
  const child = start([...args, '--json'], { env });
  const watched = watchProcess(child.pid);
  const { exitCode, stderr } = await child;
  const used = watched.end();
  if (exitCode !== 0) throw new Error(stderr);
  return { milliseconds: performance.now() - started, ...used };
}

async function dump(source: string, args: readonly string[], keepAs?: string): Promise<Measured> {
  const directory = join(folder, keepAs ?? 'dump');
  const started = performance.now();
  await execa(stock.pgDump, ['-Fd', '-j', jobs, '-f', directory, ...args], {
    env: environment(source),
    extendEnv: false,
  });
  const milliseconds = performance.now() - started;
  const bytes = await sizeOf(directory);
  if (keepAs === undefined) await rm(directory, { recursive: true });
  return { milliseconds, bytes };
}

/** What the server alone needs for the same rows, with as many connections. */
async function floor(source: string): Promise<Measured> {
  const tables = await rows<{ name: string }>(
    source,
    "SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND relpersistence = 'p' AND nspname !~ '^(pg_|information_schema)' ORDER BY pg_table_size(c.oid) DESC",
  );
  const queue = tables.values();
  const started = performance.now();
  await Promise.all(
    Array.from({ length: Number(jobs) }, async () => {
      for (const { name } of queue) await sql(source, `COPY ${name} TO '/dev/null'`);
    }),
  );
  return { milliseconds: performance.now() - started };
}

async function drop(url: string): Promise<void> {
  await sql(server.url(), `DROP DATABASE ${new URL(url).pathname.slice(1)} WITH (FORCE)`);
}

function environment(url: string): Record<string, string> {
  return libpqEnvironment(parseConnectionUrl(url, {}), { job: 'bench' });
}
