-- What the server is: one row. Any role may run it.
SELECT current_setting('server_version_num')::int                    AS "versionNumber",
       current_setting('server_version')                             AS "versionText",
       pg_is_in_recovery()                                           AS "inRecovery",
       (SELECT system_identifier::text FROM pg_control_system())     AS "systemIdentifier",
       CASE WHEN pg_is_in_recovery() THEN NULL
            ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END AS "timelineHex",
       d.oid::int8::text                                             AS "databaseOid",
       d.datname                                                     AS "databaseName",
       pg_encoding_to_char(d.encoding)                               AS "encoding",
       d.datcollate                                                  AS "collate",
       d.datctype                                                    AS "ctype",
       pg_database_size(d.oid)::text                                 AS "databaseBytes",
       r.rolname                                                     AS "role",
       r.rolsuper                                                    AS "superuser",
       r.rolbypassrls                                                AS "bypassRls",
       to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "clock",
       EXISTS (SELECT FROM pg_roles WHERE rolname = 'supabase_admin')
         AND EXISTS (SELECT FROM pg_namespace WHERE nspname = 'auth') AS "supabase",
       ARRAY(SELECT DISTINCT t.spcname::text FROM pg_tablespace t JOIN pg_class c ON c.reltablespace = t.oid
              WHERE t.spcname <> 'pg_global' ORDER BY 1)             AS "tablespaces"
  FROM pg_database d, pg_roles r
 WHERE d.datname = current_database() AND r.rolname = current_user;
