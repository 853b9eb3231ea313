-- For each foreign key that is valid and enforced, of the tables $1 or to them (null: of all), or that $2 names although
-- it is NOT VALID: a query that counts the rows that break it, as RI_Initial_Check()
-- of Postgres would look for them. "sql" is null where a period is referenced (18), which has no such query.
SELECT n.nspname::text AS "schema", c.relname::text AS "name", k.conname::text AS "constraint",
       CASE WHEN coalesce((to_jsonb(k) ->> 'conperiod')::bool, false) THEN NULL ELSE
       format('SELECT count(*)::text AS "rows" FROM %s%I.%I AS f WHERE %s AND NOT EXISTS (SELECT FROM %s%I.%I AS p WHERE %s)',
              CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END, n.nspname, c.relname,
              -- MATCH FULL: a key that is null in part is broken as well.
              (SELECT CASE k.confmatchtype
                        WHEN 'f' THEN format('num_nonnulls(%s) > 0', string_agg(format('f.%I', fa.attname), ', '))
                        ELSE string_agg(format('f.%I IS NOT NULL', fa.attname), ' AND ') END
                 FROM unnest(k.conkey) AS u(attnum)
                 JOIN pg_attribute fa ON fa.attrelid = k.conrelid AND fa.attnum = u.attnum),
              CASE rc.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END, rn.nspname, rc.relname,
              (SELECT string_agg(format('p.%I OPERATOR(%I.%s) f.%I', pa.attname, opn.nspname, op.oprname, fa.attname), ' AND ')
                 FROM unnest(k.conkey, k.confkey, k.conpfeqop) AS u(attnum, refnum, opoid)
                 JOIN pg_attribute fa ON fa.attrelid = k.conrelid AND fa.attnum = u.attnum
                 JOIN pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = u.refnum
                 JOIN pg_operator op ON op.oid = u.opoid
                 JOIN pg_namespace opn ON opn.oid = op.oprnamespace)) END AS "sql"
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class rc ON rc.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = rc.relnamespace
 WHERE k.contype = 'f' AND k.conparentid = 0
   AND (k.convalidated AND ($1::text[] IS NULL OR EXISTS (SELECT FROM unnest($1::text[]) AS t(name)
                                                           WHERE to_regclass(t.name) IN (k.conrelid, k.confrelid)))
        OR n.nspname || '.' || c.relname || ' ' || k.conname = ANY ($2::text[]))
   AND coalesce((to_jsonb(k) ->> 'conenforced')::bool, true)
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tidemark_restore')
 ORDER BY 1, 2, 3;
