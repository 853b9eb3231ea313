-- Bytes of heap, of heap and TOAST, and of indexes by table oid ($1: oid[] as text[]). Run after the snapshot was taken: a size read
-- before it may miss blocks that hold visible rows.
SELECT t.oid::text                                        AS "oid",
       coalesce(pg_relation_size(t.oid::oid), 0)::text    AS "heapBytes",
       coalesce(pg_table_size(t.oid::oid), 0)::text       AS "totalBytes",
       coalesce(pg_indexes_size(t.oid::oid), 0)::text     AS "indexBytes"
  FROM unnest($1::text[]) AS t(oid);
