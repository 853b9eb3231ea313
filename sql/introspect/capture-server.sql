-- What decides whether and how changes can be captured: one row; any role may run it. $1, $2: our publications.
SELECT current_setting('wal_level')                       AS "walLevel",
       current_setting('max_replication_slots')::int      AS "slotsMax",
       (SELECT count(*)::int FROM pg_replication_slots)   AS "slotsUsed",
       (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS "keepMegabytes",
       current_user::text                                 AS "role",
       has_database_privilege(current_database(), 'CREATE') AS "createOnDatabase",
       CASE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = 'supabase_admin') THEN 'supabase'
            WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_superuser') THEN 'rds'
            WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = 'cloudsqlsuperuser') THEN 'cloudsql'
            WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = 'azure_pg_admin') THEN 'azure'
            WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = 'neon_superuser') THEN 'neon'
            ELSE 'plain' END                              AS "provider",
       n.nspname IS NOT NULL                              AS "schema",
       pg_get_userbyid(n.nspowner)                        AS "schemaOwner",
       -- Its owner could replace what is in it: only we ourselves, or somebody who may do anything anyhow.
       coalesce(pg_has_role(n.nspowner, 'USAGE'), false)  AS "schemaOwned",
       coalesce((SELECT rolsuper FROM pg_roles r WHERE r.oid = n.nspowner), false) AS "schemaOfSuperuser",
       obj_description(n.oid, 'pg_namespace')             AS "code",
       ARRAY(SELECT evtname::text FROM pg_event_trigger
              WHERE evtname IN ('tidemark_ddl', 'tidemark_drop', 'tidemark_rewrite') AND evtenabled <> 'D' ORDER BY 1) AS "eventTriggers",
       ARRAY(SELECT pubname::text FROM pg_publication
              WHERE pubname ~ '^tidemark_.*_(rows|changes)$' AND pubname NOT IN ($1, $2) ORDER BY 1) AS "otherPublications",
       ARRAY(SELECT slot_name::text FROM pg_replication_slots
              WHERE database = current_database() AND slot_name ~ '^tidemark_' ORDER BY 1) AS "slots"
  FROM (SELECT 1) one
  LEFT JOIN pg_namespace n ON n.nspname = 'tidemark';
