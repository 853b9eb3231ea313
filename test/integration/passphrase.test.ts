import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { absentDatabase, newDatabase, rows, sql, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

test('a private key in the repository, under a passphrase: with both one reads, with either alone not', async () => {
  await using server = await testServer(17);
  await using folder = await temporaryFolder();
  const source = await newDatabase(server);
  await sql(source, 'CREATE TABLE t AS SELECT n AS id FROM generate_series(1, 1000) n');
  const backups = join(folder.path, 'backups');
  const withPassphrase = (passphrase: string) => ({
    cwd: folder.path,
    env: { DATABASE_URL: source, TIDEMARK_PASSPHRASE: passphrase },
  });
  const without = { cwd: folder.path, env: { DATABASE_URL: source } };
  const init = ['init', '--identity', '--repository', backups];

  expect((await tidemark(init, without)).stderr).toContain('key.missing');
  expect(existsSync(join(backups, 'keys/identity.age'))).toBe(false);
  const made = await tidemarkJson(init, withPassphrase('tide and mark'));
  expect(made).toMatchObject({ created: true });
  expect((await tidemark(init, withPassphrase('tide and mark'))).exitCode).toBe(2);
  // Writers take recipients from their own configuration alone.
  const plain = await tidemark(['snapshot', '--repository', backups], without);
  expect(plain.stderr).toContain('repository.recipients');
  writeFileSync(
    join(folder.path, 'tidemark.yaml'),
    `repositories: { local: ./backups }\nencryption: { recipients: [ ${String(made['recipient'])} ] }\n`,
  );
  await tidemarkJson(['snapshot'], without);

  const restore = (target: string): string[] => ['restore', '--target', target, '--create'];
  expect((await tidemark(restore(absentDatabase(server)), without)).stderr).toContain('key.missing');
  const wrong = await tidemark(restore(absentDatabase(server)), withPassphrase('wrong'));
  expect(wrong.stderr).toContain('key.wrong');
  expect(wrong.exitCode).toBe(2);
  const target = absentDatabase(server);
  await tidemarkJson(restore(target), withPassphrase('tide and mark'));
  expect(await rows(target, 'SELECT count(*)::int AS n FROM t')).toEqual([{ n: 1000 }]);
  expect((await tidemark(['verify', '--deep'], withPassphrase('tide and mark'))).exitCode).toBe(0);
});
