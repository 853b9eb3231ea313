-- B-tree indexes that amcheck can look into, and indexes that are not usable.
SELECT i.indexrelid::regclass::text AS "name",
       i.indexrelid::int8::text     AS "oid",
       i.indisvalid AND i.indisready AS "valid",
       a.amname = 'btree'           AS "btree"
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_am a ON a.oid = c.relam
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'i' AND c.relpersistence = 'p' AND n.nspname !~ '^(pg_|information_schema$)'
 ORDER BY 1;
