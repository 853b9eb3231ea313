import { z } from 'zod';
import { FORMAT_VERSION } from './manifest.ts';

/** Integers that can pass 2^53 are strings in JSON. */
const bigInteger = z.string().regex(/^\d{1,20}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const lsn = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/);
/** By somebody's clock, to the millisecond: for people. Commit times are `microseconds`. */
const instant = z.iso.datetime();
/** Microseconds since 2000-01-01 UTC, as the server counts them: nothing is lost to a conversion. */
const microseconds = z.string().regex(/^-?\d{1,19}$/);
const oid = z.number().int().nonnegative().max(0xffff_ffff);
const count = z.number().int().nonnegative();
const sizeBytes = count;

/** A message may have 1 GiB (MaxAllocSize), and a member that holds one no other; the rest guards allocation. */
const MAX_MEMBER_BYTES = 1024 * 1024 * 1024 + 64 * 1024 * 1024;

/** `sources/<source>/streams/<id>/stream.json`: written first. Its SHA-256 is where the chain begins. */
export const streamSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-stream'),
  id: z.string(),
  source: z.string(),
  repositoryId: z.string(),
  createdBy: z.string(),
  startedAt: instant,
  slot: z.string(),
  /** Where the slot became consistent: `from` of the first run. */
  start: lsn,
  publications: z.array(
    z.object({
      name: z.string(),
      /** Over its definition as read back: a change of it is a gap. */
      sha256,
    }),
  ),
  server: z.object({
    version: z.number().int(),
    systemIdentifier: bigInteger,
    timeline: z.number().int(),
    databaseOid: oid,
    databaseName: z.string(),
    /** Random, kept on the source itself: clones may share the system identifier. */
    sourceId: z.string().optional(),
    encoding: z.string(),
  }),
  /** Session settings that shape the text of values, as read back. */
  settings: z.record(z.string(), z.string()),
});
export type StreamDocument = z.infer<typeof streamSchema>;

/** A member of a run or part. */
const storedMemberSchema = z.object({
  /** Without the run's folder, which changes when runs are merged. */
  name: z.string().regex(/^(?:\d{4,6}\.pgoutput|transactions)\.zst(?:\.age)?$/),
  sizeBytes: sizeBytes.max(MAX_MEMBER_BYTES),
  sha256,
  /** Before compression. */
  plainBytes: z.number().int().positive().max(MAX_MEMBER_BYTES),
});
export type StoredMemberFacts = z.infer<typeof storedMemberSchema>;

const tableRowsSchema = z.object({
  oid,
  schema: z.string(),
  name: z.string(),
  inserts: count,
  updates: count,
  deletes: count,
  truncates: count,
});

/**
 * One transaction of ours that came back (REPLICATION C3): every transaction with an xid above `xid` committed
 * behind `position`. Taken from the writer's own memory, never from the message (P12).
 */
const heartbeatSchema = z.object({ position: lsn, xid: bigInteger, at: microseconds.optional() });

/**
 * A message `tidemark:ddl` of one of its transactions whose digest was right when it was captured: SHA-256 of its
 * content. The key stays on the source, so a reader takes the writer's word (P12).
 */
const schemaChangeSchema = z.object({ xid: bigInteger, sha256 });

/** How far DDL is known in this stretch: every command, what its effects show, or not at all. */
const ddlConfidence = z.enum(['exact', 'inferred', 'unknown']);

/** `facts` in `<n>/segment.json`: a run of whole transactions. */
export const runFactsSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-run'),
  stream: z.string(),
  /** Commit records at or after `from` and before `to`. */
  from: lsn,
  to: lsn,
  /** Chain digest of the run before; of the first one, SHA-256 of stream.json. */
  previous: sha256,
  transactions: count,
  /** Absent without transactions. They need not be in order (REPLICATION D). */
  minCommitTime: microseconds.optional(),
  maxCommitTime: microseconds.optional(),
  /** Latest since the stream began: never goes back, so a time is found by binary search. */
  latestCommitTime: microseconds.optional(),
  tables: z.array(tableRowsSchema),
  /** Logical messages in its transactions. */
  messages: count,
  heartbeats: z.array(heartbeatSchema),
  /** In order. Absent in older runs, which don't tell ours from what others sent under the name. */
  schemaChanges: z.array(schemaChangeSchema).optional(),
  ddl: ddlConfidence,
  /** Fingerprints of the recipients; empty: not encrypted. */
  encryptedTo: z.array(sha256),
  /** Of its records, parts included, without messages in force. */
  plainBytes: sizeBytes,
  /** What of its first transaction lies in objects of its own, in order. */
  parts: z.array(
    z.object({
      /** Relative to the stream's folder. */
      name: z.string().regex(/^parts\/[0-9A-F]{16}-[0-9a-z]{1,20}\/\d{1,9}\.tar$/),
      sizeBytes,
      sha256,
      plainBytes: sizeBytes,
    }),
  ),
  members: z.array(storedMemberSchema),
});
export type RunFacts = z.infer<typeof runFactsSchema>;

/** `part.json`: first member of a part. It counts only when a run lists the object by its digest. */
export const partFactsSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-part'),
  stream: z.string(),
  finalLsn: lsn,
  attempt: z.string(),
  number: count,
  encryptedTo: z.array(sha256),
  plainBytes: sizeBytes,
  members: z.array(storedMemberSchema),
});
export type PartFacts = z.infer<typeof partFactsSchema>;

/** `chapters/<from>-<to>.json.zst`: one zstd frame; what `segment.json` of an hour's segments say. */
export const chapterSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-chapter'),
  stream: z.string(),
  from: lsn,
  to: lsn,
  segments: z.array(
    z.object({
      from: lsn,
      to: lsn,
      sizeBytes,
      sha256,
      runs: z.array(z.object({ facts: runFactsSchema, chain: sha256 })).min(1),
    }),
  ),
});
export type ChapterDocument = z.infer<typeof chapterSchema>;

/**
 * `tables/<position>.json` in a stream's folder: how far each table's changes are stored from there on, as far as looks at
 * the catalog tell. The newest counts.
 */
export const tablesSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-tables'),
  source: z.string(),
  stream: z.string(),
  /** Read behind the look. */
  position: lsn,
  noticedAt: instant,
  /** What tells the next look what has changed: digests and oids. */
  triggers: z.string(),
  objects: z.string(),
  tables: z.array(
    z.object({
      oid,
      schema: z.string(),
      name: z.string(),
      /** `inserts`: without updates and deletes. */
      stored: z.enum(['all', 'inserts', 'nothing']),
      /** Not all of its changes are stored from here on, and why. */
      since: lsn.optional(),
      reason: z.enum(['no-identity', 'unlogged', 'not-published']).optional(),
      members: z.string(),
      columns: z.string(),
      storage: z.string(),
    }),
  ),
});
export type TablesDocument = z.infer<typeof tablesSchema>;

/** `sources/<source>/gaps/<id>.json`: from `from` on, no stream covers the source, or the named tables of it. */
export const gapSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-gap'),
  id: z.string(),
  source: z.string(),
  reason: z.enum([
    'slot-lost',
    'slot-dropped',
    'slot-lag',
    'foreign-consumer',
    'failover',
    'upgrade',
    'source-restored',
    'another-source',
    'publication-changed',
    'table-rewritten',
    'table-added',
    'no-identity',
    'ddl-not-replayable',
    'row-too-large',
    'stopped',
  ]),
  /** The stream that ends here, or goes on without the tables. */
  stream: z.string().optional(),
  /** The last position that is covered; everything before it is. */
  from: z.object({ lsn, commitTime: microseconds.optional() }),
  /** Where coverage is known to begin again, when it was known as this was written. */
  to: z.object({ lsn, stream: z.string(), commitTime: microseconds.optional() }).optional(),
  /** Absent: the whole source. */
  tables: z.array(z.object({ oid, schema: z.string(), name: z.string() })).optional(),
  noticedAt: instant,
});
export type GapDocument = z.infer<typeof gapSchema>;

/** `sources/<source>/marks/<id>.json`: a named point, `tidemark mark NAME`. Its transaction's commit is the point. */
export const markSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-mark'),
  id: z.string(),
  source: z.string(),
  stream: z.string(),
  name: z.string().min(1).max(200),
  xid: bigInteger,
  commitLsn: lsn,
  endLsn: lsn,
  commitTime: microseconds,
});
export type MarkDocument = z.infer<typeof markSchema>;
