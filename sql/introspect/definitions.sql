-- Versions of the definitions that pg_dump reads by functions not bound to its snapshot (pg_get_viewdef,
-- pg_get_functiondef, ...). Compared before and after pg_dump: an entry that is gone or new in version means
-- that the schema dump may show a later state than the data.
SELECT 'rewrite'    AS "catalog", oid::int8::text || '/' || xmin::text AS "version" FROM pg_rewrite   WHERE oid >= 16384
UNION ALL SELECT 'proc',       oid::int8::text || '/' || xmin::text FROM pg_proc       WHERE oid >= 16384 AND pronamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_temp')
UNION ALL SELECT 'constraint', oid::int8::text || '/' || xmin::text FROM pg_constraint WHERE oid >= 16384 AND connamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_temp')
UNION ALL SELECT 'trigger',    oid::int8::text || '/' || xmin::text FROM pg_trigger    WHERE oid >= 16384 AND NOT tgisinternal
UNION ALL SELECT 'policy',     oid::int8::text || '/' || xmin::text FROM pg_policy     WHERE oid >= 16384
UNION ALL SELECT 'statistics', oid::int8::text || '/' || xmin::text FROM pg_statistic_ext WHERE oid >= 16384;
