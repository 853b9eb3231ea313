-- What a restore has finished on this target, written in the same transaction as the work itself, so that a
-- killed restore can go on. Dropped when the restore is complete.
CREATE SCHEMA IF NOT EXISTS tidemark_restore;
CREATE TABLE IF NOT EXISTS tidemark_restore.restore (
    id          text PRIMARY KEY,          -- snapshot id and what of it, so that only the same restore goes on
    started_at  timestamptz NOT NULL DEFAULT now(),
    outcome     text                       -- what the changes made of the target, once they are applied
);
CREATE TABLE IF NOT EXISTS tidemark_restore.progress (
    restore     text NOT NULL REFERENCES tidemark_restore.restore,
    item        text NOT NULL,             -- entry:<dump id> | range:<table>/<range> | phase:<name>
    done_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (restore, item)
);
