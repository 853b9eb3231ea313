-- Installed extensions, without plpgsql (every database has it).
SELECT e.extname AS "name", e.extversion AS "version", n.nspname AS "schema"
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname <> 'plpgsql'
 ORDER BY e.extname;
