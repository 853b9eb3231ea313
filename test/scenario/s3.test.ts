import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DeleteObjectCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { afterAll, expect, test } from 'vitest';
import { generateIdentity } from '../../src/archive/age.ts';
import { absentDatabase, rows, sampleDatabase, sql, stockDump, testServer } from '../support/postgres.ts';
import { startS3 } from '../support/s3.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

const s3 = await startS3();
afterAll(() => s3[Symbol.asyncDispose]());

test('a company protects its database into an encrypted bucket, loses a table, and gets it back', async () => {
  await using server = await testServer(17);
  await using folder = await temporaryFolder();
  const source = await sampleDatabase(server, 0.01);
  const keys = await generateIdentity();
  const bucket = await s3.newBucket();
  writeFileSync(join(folder.path, 'identity.txt'), `# kept elsewhere\n${keys.identity}\n`, { mode: 0o600 });
  writeFileSync(
    join(folder.path, 'tidemark.yaml'),
    [
      'sources: { main: { url: "${DATABASE_URL}" } }',
      'repositories:',
      `  cloud: { url: "s3://${bucket}/backups", endpoint: "${s3.endpoint}" }`,
      `encryption: { recipients: [ ${keys.recipient} ] }`,
    ].join('\n'),
  );
  const env = {
    DATABASE_URL: source,
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
  };
  const at = { cwd: folder.path, env };
  const withKey = { cwd: folder.path, env: { ...env, TIDEMARK_IDENTITY_FILE: 'identity.txt' } };

  const doctor = await tidemark(['doctor'], at);
  expect(doctor.stdout).toContain('none yet');
  expect(doctor.exitCode).toBe(0);
  await tidemarkJson(['snapshot'], at);
  await tidemarkJson(['verify'], at);
  const before = await stockDump(source, 17);

  await sql(source, 'DROP TABLE market.payments CASCADE');
  const noKey = await tidemark(['restore', '--target', absentDatabase(server), '--create'], at);
  expect(noKey.stderr).toContain('key.missing');
  expect(noKey.exitCode).toBe(2);

  const copy = absentDatabase(server);
  await tidemarkJson(['restore', '--target', copy, '--create', '--table', 'market.payments'], withKey);
  const [restored] = await rows<{ n: number }>(copy, 'SELECT count(*)::int AS n FROM market.payments');
  expect(restored?.n).toBe(4000);

  const whole = absentDatabase(server);
  await tidemarkJson(['restore', '--target', whole, '--create'], withKey);
  expect(await stockDump(whole, 17)).toBe(before);
  expect((await tidemark(['verify', '--deep'], withKey)).exitCode).toBe(0);
  expect((await tidemark(['verify', '--deep'], at)).stderr).toContain('key.missing');
  const config = await tidemark(['config'], at);
  expect(config.stdout).not.toContain(server.password);
  expect(config.stdout).toContain(bucket);
});

test('object lock from tidemark.yaml: nobody who holds the keys deletes a snapshot before its time', async () => {
  await using server = await testServer(17);
  await using folder = await temporaryFolder();
  const source = await sampleDatabase(server, 0.001);
  const bucket = await s3.newBucket({ objectLock: true });
  const lock = (mode: string): string =>
    `repositories: { cloud: { url: "s3://${bucket}", endpoint: "${s3.endpoint}", objectLock: { mode: ${mode}, retainDays: 2 } } }\n`;
  const config = join(folder.path, 'tidemark.yaml');
  const at = {
    cwd: folder.path,
    env: {
      DATABASE_URL: source,
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    },
  };
  writeFileSync(config, lock('SOMETIMES'));
  expect((await tidemark(['snapshot'], at)).stderr).toContain('config.invalid');
  writeFileSync(config, lock('COMPLIANCE'));
  const { snapshot } = await tidemarkJson(['snapshot'], at);
  const client = s3.client();
  const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: bucket }));
  const stored = Versions.filter((version) => version.Key?.includes(String(snapshot)));
  expect(stored.length).toBeGreaterThan(3);
  for (const { Key, VersionId } of stored) {
    await expect(client.send(new DeleteObjectCommand({ Bucket: bucket, Key, VersionId }))).rejects.toThrow(
      /Denied|forbidden/i,
    );
  }
  client.destroy();
  expect((await tidemark(['verify'], at)).exitCode).toBe(0);
});
