-- What the source's objects are on this target, whatever their names have become, and what became of its schema
-- changes; written in the same transactions as those. Dropped with the schema when the restore is complete.
CREATE TABLE tidemark_restore.source_object (
    class  text NOT NULL,                  -- the catalog that it is in
    source oid NOT NULL,
    target oid NOT NULL,
    PRIMARY KEY (class, source)
);
CREATE TABLE tidemark_restore.schema_change (
    number     bigserial PRIMARY KEY,
    commit_lsn pg_lsn NOT NULL,
    xid        bigint NOT NULL,
    what       text NOT NULL,
    how        text NOT NULL,              -- applied | inferred | not applied
    why        text,
    relation   text                        -- of one that was inferred: until it is described
);
