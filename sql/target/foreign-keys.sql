-- Statements that drop every foreign key of the database's own tables: before what they connect is dropped.
-- $1: schemas whose tables keep theirs.
SELECT format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, c.relname, k.conname) AS "sql"
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE k.contype = 'f' AND k.conparentid = 0
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tidemark_restore') AND n.nspname <> ALL ($1::text[])
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e');
