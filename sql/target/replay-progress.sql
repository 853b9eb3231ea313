-- How far a replay came on this target, written in the same transactions as its changes; and what was silenced for
-- it. Dropped with the schema when the restore is complete.
CREATE SCHEMA IF NOT EXISTS tidemark_restore;
CREATE TABLE IF NOT EXISTS tidemark_restore.replay (
    id          text PRIMARY KEY,          -- what is replayed onto what: only the same replay goes on
    commit_lsn  pg_lsn NOT NULL DEFAULT '0/0',
    changes     bigint NOT NULL DEFAULT 0, -- of the transaction with that commit, when it is not whole
    whole       boolean NOT NULL DEFAULT true,
    applied     bigint NOT NULL DEFAULT 0, -- rows changed and truncates so far
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS tidemark_restore.silenced (
    object      text PRIMARY KEY,
    put_back    text NOT NULL              -- the statement that does
);
