import { expect, test } from 'vitest';
import { MAJORS, absentDatabase, sampleDatabase, sql, stockDump, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemarkJson } from '../support/tidemark.ts';

test.for(MAJORS)('PostgreSQL %i: a restore equals the source, as stock pg_dump sees both', async (major) => {
  await using server = await testServer(major);
  await using folder = await temporaryFolder();
  const source = await sampleDatabase(server);
  const target = absentDatabase(server);
  await tidemarkJson(['snapshot', '--url', source, '--repository', folder.path, '--jobs', '3']);
  await tidemarkJson([
    'restore',
    '--url',
    source,
    '--repository',
    folder.path,
    '--target',
    target,
    '--create',
    '--jobs',
    '3',
  ]);
  const [expected, actual] = [await stockDump(source, major), await stockDump(target, major)];
  expect(expected.length).toBeGreaterThan(100_000);
  expect(actual).toBe(expected);
});

test.for(MAJORS)('PostgreSQL %i: engine pg_dump brings the same back', async (major) => {
  await using server = await testServer(major);
  await using folder = await temporaryFolder();
  const source = await sampleDatabase(server);
  const common = ['--url', source, '--repository', folder.path];
  await tidemarkJson(['snapshot', ...common, '--engine', 'pg_dump']);
  await tidemarkJson(['verify', ...common, '--deep']);
  const target = absentDatabase(server);
  await tidemarkJson(['restore', ...common, '--target', target, '--create']);
  expect(await stockDump(target, major)).toBe(await stockDump(source, major));
});

test.for(MAJORS.slice(0, -1))(
  'PostgreSQL %i restores into 18: same rows, and the newest pg_dump agrees',
  async (major) => {
    await using server = await testServer(major);
    await using newest = await testServer(18);
    await using folder = await temporaryFolder();
    const source = await sampleDatabase(server);
    const target = absentDatabase(newest);
    await tidemarkJson(['snapshot', '--url', source, '--repository', folder.path]);
    await sql(newest.url(), 'CREATE ROLE sample_app; CREATE ROLE "sample ""read only"""');
    await tidemarkJson([
      'restore',
      '--url',
      source,
      '--repository',
      folder.path,
      '--target',
      target,
      '--create',
    ]);
    const data = ['--data-only'];
    expect(await stockDump(target, 18, data)).toBe(await stockDump(source, 18, data));
  },
);
