-- Every relation a backup must decide about: tables (r), partitioned tables (p), foreign tables (f),
-- materialised views (m) and sequences (S) outside the system schemas and our own.
-- Extension members carry their extension's name; a configuration table also the WHERE clause that
-- pg_extension_config_dump() registered ("" = all rows, null = not a configuration table).
SELECT c.oid::int8::text                        AS "oid",
       n.nspname                                AS "schema",
       c.relname                                AS "name",
       c.relkind                                AS "kind",
       c.relpersistence                         AS "persistence",
       c.relispartition                         AS "isPartition",
       (SELECT i.inhparent::int8::text FROM pg_inherits i
         WHERE i.inhrelid = c.oid AND c.relispartition)             AS "partitionOf",
       coalesce(am.amname, '')                  AS "accessMethod",
       c.relispopulated                         AS "populated",
       has_schema_privilege(n.oid, 'USAGE')
         AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
                  ELSE has_table_privilege(c.oid, 'SELECT') END     AS "readable",
       c.relkind = 'r' AND row_security_active(c.oid)               AS "rowSecurity",
       c.relreplident = 'n'
         OR c.relreplident = 'd'
            AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
                                                AS "withoutIdentity",
       x.extname                                AS "extension",
       x.condition                              AS "condition",
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
              ORDER BY a.attnum)                AS "columns",
       ARRAY(SELECT DISTINCT k.confrelid::int8::text FROM pg_constraint k
              WHERE k.conrelid = c.oid AND k.contype = 'f') AS "references"
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_am am ON am.oid = c.relam
  LEFT JOIN LATERAL (
       SELECT e.extname, cfg.condition
         FROM pg_depend d
         JOIN pg_extension e ON e.oid = d.refobjid
         LEFT JOIN LATERAL (SELECT e.extcondition[p] AS condition
                              FROM generate_subscripts(e.extconfig, 1) AS p
                             WHERE e.extconfig[p] = c.oid) cfg ON true
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
          AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e') x ON true
 WHERE c.relkind IN ('r', 'p', 'f', 'm', 'S')
   AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tidemark', 'tidemark_restore')
 ORDER BY n.nspname, c.relname;
