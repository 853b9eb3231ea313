import { z } from 'zod';

/** Version of the repository's formats. A reader refuses a larger one (repository.newer_format). */
export const FORMAT_VERSION = 1;

/** Integers that can pass 2^53 are strings in JSON. */
const bigInteger = z.string().regex(/^\d{1,20}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const lsn = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/);
const instant = z.iso.datetime();
const sizeBytes = z.number().int().nonnegative();
const count = z.number().int().nonnegative();

/** `repository.json` at the root of a repository. */
export const repositorySchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-repository'),
  repositoryId: z.string(),
  createdAt: instant,
  createdBy: z.string(),
  /** SHA-256 of each recipient, for comparison only: recipients come from local config. Empty: not encrypted. */
  recipientFingerprints: z.array(sha256),
});
export type RepositoryDocument = z.infer<typeof repositorySchema>;

/** `sources/<source>/source.json`: what the source was when first seen. */
export const sourceSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-source'),
  source: z.string(),
  firstSeenAt: instant,
  systemIdentifier: bigInteger,
  databaseOid: z.number().int(),
  databaseName: z.string(),
  serverVersion: z.number().int(),
});
export type SourceDocument = z.infer<typeof sourceSchema>;

/** How a snapshot is tied to a change stream (REPLICATION C3). Written in its final form from the start. */
export const tieSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('xid'),
    stream: z.string(),
    /** pg_current_snapshot() as text: xmin:xmax:xip. */
    snapshot: z.string(),
    /** WAL insert position read in the same statement: no commit record of a visible xid lies at or after it. */
    upper: lsn,
    scanFrom: lsn.optional(),
  }),
  z.object({ kind: z.literal('position'), stream: z.string(), lsn }),
  z.object({ kind: z.literal('none'), snapshot: z.string(), upper: lsn }),
]);

/** A stored object that belongs to a snapshot; the digest is over stored bytes. */
const storedObjectSchema = z.object({
  /** Relative to the snapshot's folder, like `data-0001.tar`. */
  name: z.string(),
  sizeBytes,
  sha256,
});
export type StoredObject = z.infer<typeof storedObjectSchema>;

const relationName = z.object({ schema: z.string(), name: z.string() });

/** One table of the snapshot, in the order that gave it its number. */
const tableSchema = relationName.extend({
  /** NNNNN in member names. */
  number: z.number().int().positive(),
  oid: z.number().int(),
  kind: z.enum(['table', 'partition', 'extension-config']),
  persistence: z.enum(['permanent', 'unlogged']),
  /** Columns in the order of the COPY stream; generated columns are not among them. */
  columns: z.array(z.string()),
  /** WHERE condition of an extension's configuration table. */
  condition: z.string().optional(),
  /** Where its rows are: in ranges, inside pg_dump's own archive (engine pg_dump), or not in this snapshot. */
  data: z.enum(['included', 'dumped', 'excluded']),
  rows: bigInteger,
  /** Bytes of the COPY stream before compression. */
  copyBytes: bigInteger,
  /** Bytes of its members as stored. */
  storedBytes: bigInteger,
  ranges: count,
  /** What heap and TOAST, and the indexes, took on the source's disk. Absent in older snapshots. */
  tableBytes: bigInteger.optional(),
  indexBytes: bigInteger.optional(),
  /** Digest of how the table is made: rows fit a table made by another snapshot's schema when it has the same. Absent in older snapshots. */
  definition: sha256.optional(),
  /** The partitioned tables that it is a partition of, nearest first. */
  partitionOf: z.array(relationName.extend({ oid: z.number().int() })),
  /** Foreign keys that point at other tables, for the order of a data-only restore. */
  references: z.array(z.number().int().positive()),
});
export type TableEntry = z.infer<typeof tableSchema>;

const sequenceSchema = relationName.extend({
  oid: z.number().int(),
  lastValue: z.string().regex(/^-?\d+$/),
  isCalled: z.boolean(),
});
export type SequenceEntry = z.infer<typeof sequenceSchema>;

/** A materialised view: its content is not stored, it is refreshed at the end of a restore if it was populated. */
const materializedViewSchema = relationName.extend({ oid: z.number().int(), populated: z.boolean() });
export type MaterializedViewEntry = z.infer<typeof materializedViewSchema>;

/** What this snapshot would not bring back, or only in part. */
const coverageSchema = z.object({
  kind: z.enum([
    'unlogged-table',
    'foreign-table',
    'large-objects-excluded',
    'no-identity',
    'role-passwords',
    'not-readable',
    'managed-schema',
    'materialized-view',
    'excluded-by-scope',
    'tablespaces',
    'database-settings',
    'subscriptions',
    'globals-unreadable',
  ]),
  objects: z.array(z.string()),
  note: z.string(),
});
export type CoverageEntry = z.infer<typeof coverageSchema>;

const compressionSchema = z.enum(['zstd', 'gzip', 'none']);
export type Compression = z.infer<typeof compressionSchema>;

const scopeSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('whole') }),
  z.object({
    kind: z.literal('partial'),
    tables: z.array(z.string()),
    schemas: z.array(z.string()),
    exclude: z.array(z.string()),
  }),
]);
export type Scope = z.infer<typeof scopeSchema>;

/** `sources/<source>/snapshots/<id>/manifest.json`: written last; the snapshot exists when it does. */
export const manifestSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-snapshot'),
  id: z.string(),
  source: z.string(),
  repositoryId: z.string(),
  engine: z.enum(['copy', 'pg_dump']),
  createdBy: z.string(),
  /** Server clock. `instant` is when the snapshot was taken: what it shows. */
  instant,
  startedAt: instant,
  finishedAt: instant,
  scope: scopeSchema,
  tie: tieSchema,
  server: z.object({
    version: z.number().int(),
    versionText: z.string(),
    systemIdentifier: bigInteger,
    timeline: z.number().int(),
    databaseOid: z.number().int(),
    databaseName: z.string(),
    encoding: z.string(),
    collate: z.string(),
    ctype: z.string(),
    profile: z.enum(['postgres', 'supabase']),
    extensions: z.array(z.object({ name: z.string(), version: z.string(), schema: z.string() })),
  }),
  tools: z.object({ pgDump: z.string() }),
  /** Session settings that shape COPY text, as read back. */
  settings: z.record(z.string(), z.string()),
  copyFormat: z.enum(['text', 'binary']),
  compression: compressionSchema,
  /** Fingerprints of the recipients; empty: not encrypted. */
  encryptedTo: z.array(sha256),
  tables: z.array(tableSchema),
  sequences: z.array(sequenceSchema),
  materializedViews: z.array(materializedViewSchema),
  coverage: z.array(coverageSchema),
  archives: z.array(
    z.object({
      data: storedObjectSchema,
      members: storedObjectSchema,
    }),
  ),
  /** schema.dump, globals.sql, largeobjects.dump, full.dump … by role. */
  parts: z.array(
    storedObjectSchema.extend({
      role: z.enum(['schema', 'globals', 'large-objects', 'full-custom', 'full-directory']),
    }),
  ),
  totals: z.object({
    tables: count,
    rows: bigInteger,
    copyBytes: bigInteger,
    storedBytes: bigInteger,
  }),
  /** The newest snapshot of this source in this repository when this one was written, and its manifest's digest. */
  previous: z.object({ id: z.string(), manifestSha256: sha256 }).optional(),
});
export type Manifest = z.infer<typeof manifestSchema>;

/**
 * One line of `data-NNNN.members.jsonl`: one tar member, in the order of the archive. Plain facts: no key is
 * needed to read it. A range's row count stands on the line of its last part.
 */
export const memberSchema = z.object({
  name: z.string().max(255),
  /** Of the member's first content byte in the archive. */
  offset: sizeBytes,
  sizeBytes,
  sha256,
  table: z.number().int().positive(),
  range: count,
  part: count,
  /** Bytes of the COPY stream in this part, before compression. */
  copyBytes: sizeBytes,
  /** Only on a range's last part: the server's own count of the range's rows. */
  rows: bigInteger.optional(),
});
export type Member = z.infer<typeof memberSchema>;
