-- Every table that change capture must decide about: plain (r), partitioned (p) and foreign (f) ones outside the system
-- schemas and our own; why updates of it can't be published (identityProblem; null: they can); in which of our
-- publications ($1, $2) it is, as which member, and whether with a row filter or column list, which are never ours. And what
-- tells two looks apart: its columns, its storage, and whether its key was made by the command that made it (xmin is kept
-- by VACUUM; rows of system columns are never updated).
SELECT c.oid::int8::text AS "oid",
       n.nspname AS "schema",
       c.relname AS "name",
       c.relkind AS "kind",
       c.relpersistence AS "persistence",
       c.relispartition AS "isPartition",
       pg_get_userbyid(c.relowner) AS "owner",
       pg_has_role(c.relowner, 'USAGE') AS "owned",
       CASE WHEN c.relreplident = 'n' THEN 'nothing'
            WHEN c.relreplident = 'f' THEN
              CASE WHEN current_setting('server_version_num')::int >= 180000 AND g.columns <> '{}' THEN 'full_generated' END
            WHEN k.usable THEN NULL
            WHEN k.generated THEN 'generated'
            WHEN k.deferrable THEN 'deferrable'
            WHEN c.relreplident = 'i' THEN 'index_gone'
            ELSE 'no_key' END AS "identityProblem",
       r.member IS NOT NULL AS "inRows",
       u.member IS NOT NULL AS "inChanges",
       coalesce(r.filtered, false) AS "rowsFiltered",
       coalesce(u.filtered, false) AS "changesFiltered",
       concat(r.member, '/', u.member) AS "members",
       d.columns AS "columns",
       c.relfilenode::text AS "storage",
       coalesce(k.born = (SELECT a.xmin::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = -6), false) AS "bornWithKey"
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL (SELECT ARRAY(SELECT a.attnum FROM pg_attribute a
                                    WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped) AS columns) g
  CROSS JOIN LATERAL (SELECT coalesce(bool_or(i.indimmediate AND NOT i.indkey::int2[] && g.columns), false) AS usable,
                             coalesce(bool_or(i.indkey::int2[] && g.columns), false) AS generated,
                             coalesce(bool_or(NOT i.indimmediate), false) AS deferrable,
                             max((SELECT a.xmin::text FROM pg_attribute a WHERE a.attrelid = i.indexrelid AND a.attnum = 1)) AS born
                        FROM pg_index i
                       WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique AND i.indpred IS NULL
                         AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END) k
  CROSS JOIN LATERAL (SELECT hashtextextended(coalesce(string_agg(concat_ws(' ', a.attnum, quote_ident(a.attname), a.atttypid, a.atttypmod, a.attnotnull,
                                                                   a.attidentity, a.attgenerated, a.attcollation), ',' ORDER BY a.attnum), ''), 0)::text AS columns
                        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) d
  LEFT JOIN LATERAL (SELECT m.oid AS member, coalesce(to_jsonb(m) ->> 'prqual', to_jsonb(m) ->> 'prattrs') IS NOT NULL AS filtered
                       FROM pg_publication_rel m JOIN pg_publication p ON p.oid = m.prpubid
                      WHERE m.prrelid = c.oid AND p.pubname = $1) r ON true
  LEFT JOIN LATERAL (SELECT m.oid AS member, coalesce(to_jsonb(m) ->> 'prqual', to_jsonb(m) ->> 'prattrs') IS NOT NULL AS filtered
                       FROM pg_publication_rel m JOIN pg_publication p ON p.oid = m.prpubid
                      WHERE m.prrelid = c.oid AND p.pubname = $2) u ON true
 WHERE c.relkind IN ('r', 'p', 'f')
   AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tidemark', 'tidemark_restore')
 ORDER BY n.nspname, c.relname;
