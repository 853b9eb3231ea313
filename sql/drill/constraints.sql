-- How many foreign keys the database holds rows to, and how many it does not (NOT VALID, or switched off).
SELECT count(*) FILTER (WHERE c.convalidated)::int      AS "valid",
       coalesce(array_agg(c.conrelid::regclass::text || ': ' || c.conname ORDER BY 1)
                FILTER (WHERE NOT c.convalidated), '{}') AS "notValid"
  FROM pg_constraint c
  JOIN pg_class t ON t.oid = c.conrelid
  JOIN pg_namespace n ON n.oid = t.relnamespace
 WHERE c.contype = 'f' AND c.conparentid = 0 AND n.nspname !~ '^(pg_|information_schema$)';
