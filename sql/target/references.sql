-- Tables that reference one of $1 (quoted names) and are not among them.
SELECT DISTINCT n.nspname AS "schema", c.relname AS "name"
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE k.contype = 'f'
   AND k.confrelid IN (SELECT to_regclass(t) FROM unnest($1::text[]) AS t)
   AND k.conrelid NOT IN (SELECT to_regclass(t) FROM unnest($1::text[]) AS t WHERE to_regclass(t) IS NOT NULL)
 ORDER BY 1, 2;
