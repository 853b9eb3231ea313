-- Materialised views by how many others they stand on, so that each is refreshed after those it reads.
WITH RECURSIVE edge AS (
    SELECT DISTINCT r.ev_class AS view, d.refobjid AS reads
      FROM pg_rewrite r
      JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                      AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
      JOIN pg_class c ON c.oid = d.refobjid AND c.relkind IN ('v', 'm')
), depth AS (
    SELECT oid, 0 AS level FROM pg_class WHERE relkind IN ('v', 'm')
    UNION
    SELECT e.view, depth.level + 1 FROM edge e JOIN depth ON depth.oid = e.reads WHERE depth.level < 100
)
SELECT n.nspname AS "schema", c.relname AS "name"
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN (SELECT oid, max(level) AS level FROM depth GROUP BY oid) d ON d.oid = c.oid
 WHERE c.relkind = 'm'
 ORDER BY d.level, n.nspname, c.relname;
