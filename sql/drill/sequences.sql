-- Sequences that a column takes its numbers from, and the column; those that belong to no column are not judged.
SELECT sn.nspname AS "sequenceSchema", s.relname AS "sequenceName",
       tn.nspname AS "schema",         t.relname AS "name",
       a.attname  AS "column",         q.seqincrement::text AS "increment"
  FROM pg_class s
  JOIN pg_namespace sn ON sn.oid = s.relnamespace
  JOIN pg_sequence q   ON q.seqrelid = s.oid
  JOIN pg_depend d     ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.objsubid = 0
                      AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  JOIN pg_class t      ON t.oid = d.refobjid
  JOIN pg_namespace tn ON tn.oid = t.relnamespace
  JOIN pg_attribute a  ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
 WHERE s.relkind = 'S' AND q.seqcycle = false AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
 ORDER BY 1, 2;
