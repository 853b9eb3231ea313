-- What tables are called and how they are made, as far as their rows go: rows of one snapshot fit a table made by another one's schema only when
-- this is the same. $1: oids. A column that was dropped and made again has another number. search_path must be empty.
SELECT c.oid::int8::text AS "oid", n.nspname AS "schema", c.relname AS "name",
       json_build_object(
         'name', json_build_array(n.nspname, c.relname),
         'columns', (SELECT json_agg(json_build_array(a.attnum, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attcollation::pg_catalog.regcollation,
                                                      a.attnotnull, a.attidentity, a.attgenerated, pg_catalog.pg_get_expr(d.adbin, d.adrelid)) ORDER BY a.attnum)
                       FROM pg_catalog.pg_attribute a
                       LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
         'constraints', (SELECT json_agg(json_build_array(k.conname, pg_catalog.pg_get_constraintdef(k.oid)) ORDER BY k.conname)
                           FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid),
         'unique', (SELECT json_agg(pg_catalog.pg_get_indexdef(i.indexrelid) ORDER BY i.indexrelid)
                      FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique),
         'parent', (SELECT json_agg(p.inhparent::pg_catalog.regclass ORDER BY p.inhseqno) FROM pg_catalog.pg_inherits p WHERE p.inhrelid = c.oid),
         'bound', pg_catalog.pg_get_expr(c.relpartbound, c.oid))::text AS "definition"
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = ANY ($1::oid[]);
