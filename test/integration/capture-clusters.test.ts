// Another server under the source's URL, or another past: each is a gap, and both sides of it can be restored.
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { parseConnectionUrl } from '../../src/postgres/connection-settings.ts';
import { libpqEnvironment } from '../../src/postgres/libpq-environment.ts';
import { chooseTools } from '../../src/postgres/tools.ts';
import { beaten, captured, moment, overcome } from '../support/bad-day.ts';
import { initCapture } from '../support/capture.ts';
import { copyOf, serverOn } from '../support/cluster.ts';
import { absentDatabase, newDatabase, rows, sql, stockDump, testServer, tools } from '../support/postgres.ts';
import { expectSamePoint } from '../support/same-point.ts';
import { tidemark, tidemarkJson } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

const LOST = `INSERT INTO ledger (note) VALUES ('lost')`;
const FAR = `INSERT INTO ledger (note) SELECT repeat('x', 1000) FROM generate_series(1, 200); SELECT pg_switch_wal()`;
const DATA = ['--data-only', '--exclude-schema=tidemark'];

test.for([
  ['its WAL ends before what is stored', LOST],
  ['it has gone on beyond what is stored by now', `${FAR}; ${LOST}`],
])('I 41: the source was set back to an earlier time: %s', { timeout: 120_000 }, async ([, since = LOST]) => {
  await using original = await testServer(17);
  await using company = await captured(original);
  const { url, path } = company;
  await original.stop();
  const dataDirectory = await copyOf(original, 'earlier');
  const later = await serverOn(original);
  await sql(url, since === LOST ? FAR : LOST);
  const orphan = await moment(url);
  await sql(url, LOST);
  await beaten(url, path);
  await later.stop();
  await using server = await serverOn(original, { dataDirectory });
  await sql(url, since);
  const lost = await moment(url);
  expect(await overcome(server, company, { lost })).toEqual(['source-restored']);
  // What was captured and is no more on the source is not lost.
  const target = absentDatabase(server);
  await tidemarkJson(['restore', '--repository', path, '--to', orphan.time, '--target', target, '--create']);
  expectSamePoint(await stockDump(target, 18, DATA), orphan.truth);
});

test('I 41: a standby that has no slot is promoted', { timeout: 120_000 }, async () => {
  await using original = await testServer(17);
  await using company = await captured(original);
  const { url, path } = company;
  await original.stop();
  const dataDirectory = await copyOf(original, 'standby');
  // As pg_basebackup leaves them out.
  const slots = join(dataDirectory, 'pg_replslot');
  for (const slot of await readdir(slots)) await rm(join(slots, slot), { recursive: true });
  await writeFile(join(dataDirectory, 'standby.signal'), '');
  await writeFile(
    join(dataDirectory, 'postgresql.auto.conf'),
    `primary_conninfo = 'host=127.0.0.1 port=${original.port} user=postgres password=${original.password}'\n`,
  );
  const primary = await serverOn(original);
  await using standby = await serverOn(original, { dataDirectory, ownPort: true });
  const promoted = url.replace(`:${original.port}/`, `:${standby.port}/`);
  const refused = await tidemark(['capture', '--url', promoted, '--repository', path]);
  expect({ ...refused }).toMatchObject({
    exitCode: 6,
    stderr: expect.stringContaining('source.standby') as unknown,
  });
  await sql(url, LOST);
  const lost = await moment(url);
  await until(async () => (await rows(promoted, `SELECT 1 FROM ledger WHERE note = 'lost'`)).length === 1);
  await primary.stop('immediate');
  await sql(promoted, 'SELECT pg_promote()');
  expect(await overcome(standby, { ...company, url: promoted }, { lost })).toEqual(['failover']);
});

test(
  'I 49: a copy of the source with the same system identifier, set up as a source of its own',
  { timeout: 120_000 },
  async () => {
    await using original = await testServer(17);
    await using company = await captured(original);
    const { url, path } = company;
    await original.stop();
    const dataDirectory = await copyOf(original, 'clone');
    const slots = join(dataDirectory, 'pg_replslot');
    for (const slot of await readdir(slots)) await rm(join(slots, slot), { recursive: true });
    await using clone = await serverOn(original, { dataDirectory, ownPort: true });
    const other = url.replace(`:${original.port}/`, `:${clone.port}/`);
    await sql(other, `UPDATE tidemark.source_id SET id = gen_random_uuid(); ${LOST}`);
    // Nobody has set it up for this repository: it may be there by mistake.
    const refused = await tidemark(['capture', '--url', other, '--repository', path]);
    expect({ ...refused }).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining('source.another') as unknown,
    });
    await initCapture(other, path);
    const lost = await moment(other);
    expect(await overcome(clone, { ...company, url: other }, { lost })).toEqual(['another-source']);
  },
);

test(
  'I 41: the source moves to a newer major version by dump and restore',
  { timeout: 120_000 },
  async () => {
    await using older = await testServer(15);
    await using newer = await testServer(18);
    await using company = await captured(older);
    await sql(company.url, LOST);
    const lost = await moment(company.url);
    const url = await newDatabase(newer);
    const { pgDump, psql } = chooseTools(await tools(), newer.major);
    const { stdout } = await execa(pgDump, { env: environment(company.url), extendEnv: false });
    await execa(psql, ['-X', '-q', '-f', '-'], { env: environment(url), extendEnv: false, input: stdout });
    expect(await overcome(newer, { ...company, url }, { lost })).toEqual(['upgrade']);
  },
);

function environment(url: string): ReturnType<typeof libpqEnvironment> {
  return libpqEnvironment(parseConnectionUrl(url, {}), { job: 'dba' });
}
