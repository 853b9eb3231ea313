import { afterAll, beforeAll, expect, test } from 'vitest';
import { createOpener, createSealer, generateIdentity } from '../../src/archive/age.ts';
import { sha256Hex } from '../../src/archive/digest.ts';
import { readSegment, recordsOf } from '../../src/archive/segment-reader.ts';
import { packRun, packSegment } from '../../src/archive/segment-writer.ts';
import type { PackedRun } from '../../src/archive/segment-writer.ts';
import type { RunFacts } from '../../src/archive/stream-documents.ts';
import { chapterOf } from '../../src/catalog/chapter-of.ts';
import type { ChapterSegment } from '../../src/catalog/chapter-of.ts';
import {
  publishChapter,
  publishMark,
  publishSegment,
  publishStream,
} from '../../src/catalog/publish-stream.ts';
import { keys } from '../../src/catalog/keys.ts';
import { ensureRepository } from '../../src/catalog/repository.ts';
import type { Repository } from '../../src/catalog/repository.ts';
import { streamTip } from '../../src/catalog/stream-tip.ts';
import { StreamView } from '../../src/catalog/stream-view.ts';
import { formatCommitTime, parseCommitTime } from '../../src/model/commit-time.ts';
import { formatLsn, parseLsn } from '../../src/model/lsn.ts';
import type { Lsn } from '../../src/model/lsn.ts';
import { applies } from '../../src/model/xid.ts';
import { decodeMessage } from '../../src/pgoutput/decode.ts';
import type { Connection } from '../../src/postgres/connection.ts';
import { planRecovery } from '../../src/recovery/plan-recovery.ts';
import type { RecoveryPlan } from '../../src/recovery/plan-recovery.ts';
import { parseRecoveryTarget } from '../../src/recovery/target.ts';
import { createFolderStore } from '../../src/storage/folder.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { STREAM, session as capture } from '../support/change-stream.ts';
import { newDatabase, session, testServer } from '../support/postgres.ts';
import { manifestOf, storeManifest, streamDocument, tableEntry } from '../support/stream-fixture.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';
import { cp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const signal = new AbortController().signal;
const SNAPSHOT = '20261123T100500Z-aaaaaa';
const identity = await generateIdentity();
let server: ThrowawayServer;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let repository: Repository;
let common: string[];
/** Ids that the snapshot shows. */
let shown: Set<number>;
/** What the source held at some moments when nothing was under way. */
const truths: { readonly at: Lsn; readonly time: bigint; readonly xid: bigint; readonly ids: Set<number> }[] =
  [];

async function idsIn(source: Connection): Promise<Set<number>> {
  const rows = await source.query<{ id: number }>('SELECT id FROM t');
  return new Set(rows.map(({ id }) => id));
}
const one = async <Row extends object>(source: Connection, text: string): Promise<Row> => {
  const [row] = await source.query<Row>(text);
  if (row === undefined) throw new Error('no row');
  return row;
};
const lsnOf = (text: string): Lsn => parseLsn(text) ?? (0n as Lsn);

/** REPLICATION C3: the position before the xid exists. */
async function heartbeat(source: Connection): Promise<RunFacts['heartbeats'][number]> {
  await source.execute('BEGIN');
  const { position } = await one<{ position: string }>(
    source,
    'SELECT pg_current_wal_insert_lsn()::text AS position',
  );
  const { xid } = await one<{ xid: string }>(source, 'SELECT pg_current_xact_id()::text AS xid');
  await source.execute("SELECT pg_logical_emit_message(true, 'tidemark:heartbeat', 'x'); COMMIT");
  return { position, xid };
}

/** Writes while others are in the middle of something, and remembers what the source held now and then. */
async function work(source: Connection, url: string) {
  const beats = [await heartbeat(source)];
  let snapshot = { snapshot: '', upper: '' };
  await using other = await session(url);
  for (let id = 1; id <= 60; id += 1) {
    if (id % 7 === 0) await other.execute(`BEGIN; INSERT INTO t VALUES (${1000 + id})`);
    await source.execute(
      `INSERT INTO t VALUES (${id}); INSERT INTO t VALUES (${2000 + id}); DELETE FROM t WHERE id = ${2000 + id - 3}`,
    );
    if (id % 10 === 5) beats.push(await heartbeat(source));
    if (id === 30) {
      await other.execute('BEGIN; INSERT INTO t VALUES (5000)');
      await source.execute('BEGIN ISOLATION LEVEL REPEATABLE READ');
      snapshot = await one(
        source,
        'SELECT pg_current_snapshot()::text AS snapshot, pg_current_wal_insert_lsn()::text AS upper',
      );
      shown = await idsIn(source);
      await source.execute('COMMIT');
      await other.execute('COMMIT');
    }
    if (id % 7 === 2) await other.execute('COMMIT');
    if (id % 7 !== 4) continue;
    const { xid } = await one<{ xid: string }>(
      source,
      `WITH i AS (INSERT INTO t VALUES (${3000 + id})) SELECT pg_current_xact_id()::text AS xid`,
    );
    const now = await one<{ at: string; time: string }>(
      source,
      `SELECT pg_current_wal_insert_lsn()::text AS at, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time`,
    );
    truths.push({
      at: lsnOf(now.at),
      time: parseCommitTime(now.time) ?? 0n,
      xid: BigInt(xid),
      ids: await idsIn(source),
    });
  }
  beats.push(await heartbeat(source));
  return { beats, snapshot };
}

/** Stores a slot's changes as a capture would: some transactions a run, an encrypted segment each, chapters for most. */
async function store(source: Connection, start: Lsn, beats: RunFacts['heartbeats']): Promise<void> {
  const at = { source: 'main', stream: STREAM };
  const document = streamDocument(repository, { id: STREAM, start: formatLsn(start) });
  let { sha256: previous } = await publishStream(repository, document, { signal });
  const sealer = createSealer([identity.recipient]);
  const { writer, feed } = capture({ start, memberBytes: 500, sealer });
  let segments: ChapterSegment[] = [];
  const take = async (): Promise<void> => {
    const taken = writer.takeRun();
    const heartbeats = beats.filter(
      ({ position }) => lsnOf(position) >= taken.from && lsnOf(position) < taken.to,
    );
    const run: PackedRun = await packRun(taken, {
      stream: STREAM,
      previous,
      sealer,
      heartbeats,
      ddl: 'exact',
    });
    previous = run.chain;
    const bytes = await packSegment([run], { modified: new Date(0) });
    const stretch = { from: taken.from, to: taken.to };
    await publishSegment(repository, { ...at, ...stretch, bytes }, { signal });
    await publishSegment(repository, { ...at, ...stretch, bytes }, { signal });
    await expect(
      publishSegment(repository, { ...at, ...stretch, bytes: bytes.subarray(1) }, { signal }),
    ).rejects.toMatchObject({ code: 'stream.other_writer' });
    segments.push({ ...stretch, sizeBytes: bytes.length, sha256: sha256Hex(bytes), runs: [run] });
  };
  const rows = await source.query<{ data: string }>(
    `SELECT encode(data, 'hex') AS "data" FROM pg_logical_slot_peek_binary_changes('s', NULL, NULL, 'proto_version', '1', 'publication_names', 'p', 'messages', 'true')`,
  );
  for (const { data } of rows) {
    feed(Buffer.from(data, 'hex'));
    if (writer.transactions >= 5) await take();
    if (segments.length === 6) {
      await publishChapter(repository, at, chapterOf(STREAM, segments), { signal });
      segments = [];
    }
  }
  if (writer.transactions > 0) await take();
}

beforeAll(async () => {
  server = await testServer(16);
  folder = await temporaryFolder();
  const url = await newDatabase(server);
  await using source = await session(url);
  await source.execute('CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t');
  const { start } = await one<{ start: string }>(
    source,
    "SELECT lsn::text AS start FROM pg_create_logical_replication_slot('s', 'pgoutput')",
  );
  const made = await ensureRepository(createFolderStore({ root: join(folder.path, 'repository') }), {
    recipientFingerprints: createSealer([identity.recipient]).fingerprints,
    program: 'test',
    signer: undefined,
    trust: undefined,
    signal,
  });
  repository = made.repository;
  const { beats, snapshot } = await work(source, url);
  await store(source, lsnOf(start), beats);
  const schema = Buffer.from('a dump');
  await repository.store.putIfAbsent(keys.snapshotObject('main', SNAPSHOT, 'schema.dump'), schema, {
    signal,
  });
  const parts = [
    { role: 'schema' as const, name: 'schema.dump', sizeBytes: schema.length, sha256: sha256Hex(schema) },
  ];
  await storeManifest(
    repository,
    manifestOf(repository, {
      id: SNAPSHOT,
      tie: { kind: 'xid', stream: STREAM, ...snapshot },
      tables: [tableEntry(1, { name: 't', ranges: 0, data: 'excluded' })],
      parts,
    }),
  );
  const keyFile = join(folder.path, 'identity.txt');
  await writeFile(keyFile, `${identity.identity}\n`);
  common = ['--repository', join(folder.path, 'repository'), '--identity-file', keyFile];
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const opener = () => createOpener([identity.identity]);
const plan = (target: string, exclusive = false): Promise<RecoveryPlan> =>
  planRecovery([repository], {
    source: 'main',
    target: parseRecoveryTarget(target, { exclusive }),
    opener: opener(),
    signal,
  });

/** What the plan's segments make of the snapshot, by its tie and stop: ids that the table then has. */
async function replayed({ replay }: RecoveryPlan): Promise<Set<number>> {
  if (replay === undefined) throw new Error('nothing to replay');
  const ids = new Set(shown);
  const { stop } = replay;
  for (const { key, from, to } of replay.reading.segments) {
    const body = await repository.store.get(key, { signal });
    let isApplied = false;
    for await (const run of readSegment(body, { from, to, stream: STREAM, trust: undefined }))
      for await (const member of run.members()) {
        if (member.facts.name.startsWith('transactions')) continue;
        for (const record of await recordsOf(member, opener())) {
          const message = decodeMessage(record.message, 'storage');
          if (message.kind === 'begin') {
            const { commitLsn, commitTime } = message;
            const isEnd =
              (stop.kind === 'time' && (stop.exclusive ? commitTime >= stop.time : commitTime > stop.time)) ||
              (stop.kind === 'lsn' && (stop.exclusive ? commitLsn >= stop.lsn : commitLsn > stop.lsn));
            if (isEnd) return ids;
            isApplied = applies(message, replay.base.use.tie);
          }
          if (!isApplied) continue;
          if (message.kind === 'insert') ids.add(Number(message.row.value(0)));
          if (message.kind === 'delete') ids.delete(Number(message.old.tuple.value(0)));
        }
      }
  }
  return ids;
}

test('P5: every moment behind the snapshot comes back, by time, position and xid', async () => {
  let points = 0;
  for (const { at, time, xid, ids } of truths) {
    const targets = [formatCommitTime(time), `lsn:${formatLsn(at)}`, `xid:${xid}`];
    for (const target of targets) {
      const planned = await plan(target).catch((error: unknown) => error as Error & { code: string });
      if (planned instanceof Error) {
        expect(planned.code).toBe('recovery.no_point');
        continue;
      }
      points += 1;
      expect({ target, ids: await replayed(planned) }).toEqual({ target, ids });
    }
  }
  expect(points).toBeGreaterThanOrEqual(9);
  const last = truths.at(-1);
  const without = new Set(last?.ids);
  without.delete(3060);
  expect(await replayed(await plan(`xid:${last?.xid}`, true))).toEqual(without);
});

test('latest is the tidemark; before the snapshot, and beyond the end, is refused', async () => {
  const { replay } = await plan('latest');
  const view = await StreamView.open(repository, { source: 'main', stream: STREAM }, { signal });
  expect(replay?.to).toBe((await streamTip(view)).to);
  expect(replay?.reading.uncounted).toBeGreaterThan(0);
  for (const target of [
    `lsn:${formatLsn(view.start)}`,
    '2020-01-01T00:00:00Z',
    '2100-01-01T00:00:00Z',
    'xid:999999',
    'mark:none',
  ])
    await expect(plan(target)).rejects.toMatchObject({
      code: 'recovery.no_point',
      message: expect.stringContaining(target.replace('mark:', '').slice(0, 10)) as string,
    });
});

test('a mark is its transaction; two of one name are refused with both', async () => {
  const [first, second] = truths.slice(-2);
  if (first === undefined || second === undefined) throw new Error('no truths');
  const mark = async (name: string, truth: typeof first, id: string): Promise<void> => {
    const found = await plan(`xid:${truth.xid}`);
    const stop = found.replay?.stop;
    if (stop?.kind !== 'lsn') throw new Error('no position');
    const commitLsn = formatLsn(stop.lsn);
    await publishMark(
      repository,
      {
        formatVersion: 1,
        kind: 'tidemark-mark',
        id,
        source: 'main',
        stream: STREAM,
        name,
        xid: truth.xid.toString(),
        commitLsn,
        endLsn: formatLsn(truth.at),
        commitTime: truth.time.toString(),
      },
      { signal },
    );
  };
  await mark('before the deploy', first, 'one');
  await mark('twice', first, 'two');
  await mark('twice', second, 'three');
  expect(await replayed(await plan('mark:before the deploy'))).toEqual(first.ids);
  await expect(plan('mark:twice')).rejects.toMatchObject({
    code: 'recovery.ambiguous',
    remedy: expect.stringMatching(/lsn:.*lsn:/) as string,
  });
});

test('verify reads streams without a key, and names what is missing', async () => {
  const root = join(folder.path, 'repository');
  const ok = await tidemarkJson(['verify', '--repository', root]);
  expect(ok).toMatchObject({ ok: true, streams: [{ stream: STREAM, findings: [] }] });
  expect(await tidemarkJson(['verify', '--deep', ...common])).toMatchObject({ ok: true });
  const copy = join(folder.path, 'copy');
  await cp(root, copy, { recursive: true });
  const segments = (await readdir(join(copy, 'sources/main/streams', STREAM)))
    .filter((name) => name.endsWith('.tar'))
    .sort();
  const lost = segments[3] ?? '';
  await rm(join(copy, 'sources/main/streams', STREAM, lost));
  const broken = await tidemark(['verify', '--repository', copy]);
  expect(broken.exitCode).toBe(9);
  expect(broken.stdout).toMatch(/integrity.chain: changes from .* are missing/);
  expect(broken.stdout).toContain(`${lost}, which is not there`);
});

test('list, show and log tell of it', async () => {
  const listed = await tidemarkJson(['list', ...common]);
  expect(listed).toMatchObject({
    streams: [{ id: STREAM, pieces: 1 }],
    windows: [{ stream: STREAM }],
    snapshots: [{ id: SNAPSHOT, use: 'usable' }],
  });
  expect((await tidemark(['list', ...common])).stdout).toMatch(/window: 20\d\d-.*every instant/);
  expect(await tidemarkJson(['show', STREAM, ...common])).toMatchObject({
    stream: { document: { id: STREAM } },
  });
  const summary = await tidemarkJson(['log', '--summary', ...common]);
  expect(summary).toMatchObject({ tables: [{ schema: 'public', name: 't' }] });
  const lines = (
    await tidemark(['log', '--json', '--table', 't', '--kind', 'deletes', ...common])
  ).stdout.split('\n');
  expect(
    lines.map((line) => JSON.parse(line) as { tables: { rows: { inserts: number; deletes: number } }[] }),
  ).toHaveLength(57);
  const { ids: _, ...point } = truths.at(-1) ?? { at: 0n as Lsn, time: 0n, xid: 0n, ids: new Set() };
  const from = await tidemark(['log', '--from', formatCommitTime(point.time), ...common]);
  expect(from.stdout.split('\n').length).toBeLessThan(20);
  const view = await StreamView.open(repository, { source: 'main', stream: STREAM }, { signal });
  const entry = view.pieces[0]?.find(({ kind }) => kind === 'segment');
  const text = (await tidemark(['show', entry?.key ?? '', ...common])).stdout;
  expect(text).toMatch(/^RUN .*\n {2}in force: {3}RELATION \d+ public\.t \(id key\)/);
  expect(text).toMatch(/\nBEGIN xid \d+, commits at .*\n {2}INSERT public\.t id="\d+"/);
});
