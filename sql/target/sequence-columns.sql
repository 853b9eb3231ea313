-- Sequences, and the columns whose rows may hold values of theirs: owners, identities, defaults that call nextval().
SELECT n.nspname::text AS "schema", c.relname::text AS "name",
       s.seqincrement > 0                    AS "isAscending",
       s.seqincrement::text                  AS "increment",
       s.seqstart::text                      AS "start",
       ARRAY(SELECT DISTINCT format('(SELECT %s(%I) FROM %I.%I)', CASE WHEN s.seqincrement > 0 THEN 'max' ELSE 'min' END,
                                    a.attname, tn.nspname, t.relname)
               FROM (SELECT d.refobjid AS relation, d.refobjsubid AS column
                       FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                        AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
                     UNION
                     SELECT ad.adrelid, ad.adnum
                       FROM pg_depend d JOIN pg_attrdef ad ON ad.oid = d.objid
                      WHERE d.classid = 'pg_attrdef'::regclass
                        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid) AS used
               JOIN pg_class t ON t.oid = used.relation AND t.relkind IN ('r', 'p')
               JOIN pg_namespace tn ON tn.oid = t.relnamespace
               JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = used.column
                                  AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)) AS "columns",
       s.seqmin::text                        AS "least",
       s.seqmax::text                        AS "most"
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tidemark_restore')
 ORDER BY 1, 2;
