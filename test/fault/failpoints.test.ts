// kill -9 and ^C at every named place of a snapshot, a restore and the folder store, and what is left of each.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Manifest } from '../../src/archive/manifest.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { counted, interruptedAt, killedAt, serverIsFree } from '../support/failpoints.ts';
import type { Of } from '../support/failpoints.ts';
import { absentDatabase, sampleDatabase, sql, stockDump, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

const MAJOR = 17;
let server: ThrowawayServer;
let source: string;
let expected: string;
let staging: Awaited<ReturnType<typeof temporaryFolder>>;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let common: readonly string[];
/** One snapshot of each engine. */
let copied: Manifest;
let dumped: Manifest;
beforeAll(async () => {
  server = await testServer(MAJOR);
  source = await sampleDatabase(server);
  expected = await stockDump(source, MAJOR);
  staging = await temporaryFolder();
  folder = await temporaryFolder();
  common = ['--url', source, '--repository', folder.path];
  copied = await snapshot();
  dumped = await snapshot('--engine', 'pg_dump');
}, 120_000);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  for (const each of [staging, folder]) await each[Symbol.asyncDispose]();
});

async function snapshot(...args: string[]): Promise<Manifest> {
  return (await tidemarkJson(['snapshot', ...common, ...args]))['manifest'] as Manifest;
}

const byStaging = (): string[] => ['--engine', 'pg_dump', '--staging', staging.path];

interface SnapshotCase {
  /** The snapshot exists when the program ends here. */
  readonly counts?: true;
  /** What makes it come by. */
  readonly args?: () => string[];
}

const SNAPSHOT: Readonly<Record<Of<'snapshot'>, SnapshotCase>> = {
  'snapshot.probed': {},
  'snapshot.locked': {},
  'snapshot.exported': {},
  'snapshot.source-written': {},
  'snapshot.range-locked': {},
  'snapshot.part-added': {},
  'snapshot.range-copied': {},
  'snapshot.archive-closed': {},
  'snapshot.list-written': {},
  'snapshot.dump-staged': { args: byStaging },
  'snapshot.dump-written': {},
  'snapshot.copied': {},
  'snapshot.flushed': {},
  'snapshot.unlocked': {},
  'snapshot.digests-stored': { args: () => ['--witness'] },
  'snapshot.before-manifest': {},
  'snapshot.after-manifest': { counts: true },
};

test.for(Object.entries(SNAPSHOT))(
  'P2: kill -9 and ^C at %s: nothing counts that should not, the server is free, the next one works',
  async ([name, { counts, args = () => [] }]) => {
    const point = name as Of<'snapshot'>;
    const command = ['snapshot', ...common, ...args()];
    const before = await counted({ url: folder.path });
    const [exitCode] = await Promise.all([
      interruptedAt({ point, args: command }),
      killedAt({ point, args: command }),
    ]);
    await serverIsFree(server.url());
    expect(exitCode).toBe(counts ? 0 : 130);
    const after = await counted({ url: folder.path });
    expect(after.snapshots).toBe(before.snapshots + (counts ? 2 : 0));
    // What was killed could not clear up after itself; what was stopped did.
    expect(after.unfinished).toBeLessThanOrEqual(before.unfinished + 1);
    await tidemarkJson(command);
    expect((await counted({ url: folder.path })).snapshots).toBe(after.snapshots + 1);
  },
);

interface RestoreCase {
  readonly args?: () => string[];
  /** The target is a copy of the source before, which has lost rows. */
  readonly filled?: true;
  /** Of the target right after the kill: it is as it was. */
  readonly untouched?: true;
  /** The restore had ended: the same command is refused, by this code. */
  readonly ended?: string;
}

const clean = (): string[] => ['--clean', '--yes'];
const inPlace = (): string[] => [...clean(), '--table', 'market.payments', '--table', 'market.audit_log'];
const ofDump = (): string[] => ['--to', `snapshot:${dumped.id}`];

/** Of changes: fault/restore-changes.test.ts. */
const RESTORE: Readonly<
  Record<Exclude<Of<'restore'>, 'restore.after-changes' | 'restore.schema-changed'>, RestoreCase>
> = {
  'restore.database-made': {},
  'restore.planned': {},
  'restore.cleaned': { args: clean, filled: true },
  'restore.begun': {},
  'restore.entries-unrecorded': {},
  'restore.entries-committed': {},
  'restore.after-pre-data': {},
  'restore.truncated': {},
  'restore.range-loaded': {},
  'restore.rows-uncommitted': {},
  'restore.rows-committed': {},
  'restore.entry-made': {},
  'restore.after-data': {},
  'restore.large-objects-unrecorded': {},
  'restore.large-objects-committed': {},
  'restore.after-post-data': {},
  'restore.after-sequences': {},
  'restore.after-views': {},
  'restore.after-analyze': {},
  'restore.after-check': {},
  'restore.durable': {},
  'restore.progress-removed': { ended: 'target.not_empty' },
  'restore.in-place-truncated': { args: inPlace, filled: true, untouched: true },
  'restore.in-place-uncommitted': { args: inPlace, filled: true, untouched: true },
  'restore.in-place-committed': { args: inPlace, filled: true },
  'restore.dump-staged': { args: () => [...ofDump(), '--staging', staging.path] },
  'restore.dump-restored': { args: ofDump, ended: 'target.not_empty' },
};

test.for(Object.entries(RESTORE))(
  'I 46: kill -9 and ^C at %s: the same command goes on and ends equal',
  async ([name, { args = () => [], filled, untouched, ended }]) => {
    const point = name as Of<'restore'>;
    const restore = (target: string): string[] => [
      'restore',
      ...common,
      '--to',
      `snapshot:${copied.id}`,
      '--target',
      target,
      '--create',
      ...args(),
    ];
    const [killed, stopped] = [absentDatabase(server), absentDatabase(server)];
    if (filled) await Promise.all([killed, stopped].map((target) => fill(target)));
    const before = untouched && (await stockDump(killed, MAJOR));
    const [exitCode] = await Promise.all([
      interruptedAt({ point, args: restore(stopped) }),
      killedAt({ point, args: restore(killed) }),
    ]);
    await serverIsFree(server.url());
    expect(exitCode).toBe(point === 'restore.progress-removed' ? 0 : 130);
    for (const target of untouched ? [killed, stopped] : [])
      expect(await stockDump(target, MAJOR)).toBe(before);
    const again = await tidemark(restore(killed));
    if (ended === undefined) expect(again).toMatchObject({ exitCode: 0 });
    else expect(again).toMatchObject({ exitCode: 4, stderr: expect.stringContaining(ended) as unknown });
    expect(await stockDump(killed, MAJOR)).toBe(expected);
    for (const target of [killed, stopped]) await drop(target);
  },
);

async function fill(target: string): Promise<void> {
  await tidemarkJson(['restore', ...common, '--to', `snapshot:${copied.id}`, '--target', target, '--create']);
  await sql(target, 'DELETE FROM market.payments WHERE id % 2 = 0; DELETE FROM market.audit_log');
  expect(await stockDump(target, MAJOR)).not.toBe(expected);
}

async function drop(target: string): Promise<void> {
  await sql(server.url(), `DROP DATABASE IF EXISTS ${new URL(target).pathname.slice(1)} WITH (FORCE)`);
}

/** Whether the object exists when the program ends there. */
const FOLDER: Readonly<Record<Of<'folder'>, boolean>> = {
  'folder.written': false,
  'folder.linked': true,
  'folder.synced': true,
};

test.for(Object.entries(FOLDER))(
  'P2: kill -9 and ^C at %s of the first and of the last object: whole or not there',
  async ([name, exists]) => {
    const point = name as Of<'folder'>;
    await using own = await temporaryFolder();
    const command = ['snapshot', '--url', source, '--repository', own.path, '--jobs', '1'];
    await killedAt({ point, args: command });
    expect(readdirSync(own.path).includes('repository.json')).toBe(exists);
    await using other = await temporaryFolder();
    expect(await interruptedAt({ point, args: [...command, '--repository', other.path] })).toBe(130);
    expect(readdirSync(other.path)).toEqual(exists ? ['repository.json'] : []);

    const { id } = (await tidemarkJson(command))['manifest'] as Manifest;
    const objects = readdirSync(join(own.path, 'sources/main/snapshots', id)).length;
    // The manifest is the last, and source.json is there already.
    const time = objects;
    await killedAt({ point, time, args: command });
    expect(await counted({ url: own.path })).toEqual(
      exists ? { snapshots: 2, unfinished: 0 } : { snapshots: 1, unfinished: 1 },
    );
    // Who stops it now has asked too late: the answer is waited for, and the snapshot is there.
    expect(await interruptedAt({ point, time, args: command })).toBe(0);
    await serverIsFree(server.url());
    expect((await counted({ url: own.path })).snapshots).toBe(exists ? 3 : 2);
    await tidemarkJson(['verify', '--url', source, '--repository', own.path]);
  },
);

test('after all of that every snapshot verifies', async () => {
  const { snapshots } = await counted({ url: folder.path });
  const { reports } = (await tidemarkJson(['verify', ...common])) as { reports: unknown[] };
  expect(snapshots).toBeGreaterThan(Object.keys(SNAPSHOT).length);
  expect(reports).toHaveLength(snapshots);
});
