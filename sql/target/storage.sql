-- Where a restore's bytes would lie, and what tells this server from another one. One row, for any role.
-- $1: the database, which need not exist yet; $2: tables whose room is there already, or will be given back.
SELECT -- Hidden from roles without pg_read_all_settings.
       (SELECT setting FROM pg_settings WHERE name = 'data_directory')            AS "dataDirectory",
       current_setting('port')::int                                               AS "port",
       floor(extract(epoch FROM pg_postmaster_start_time()))::int8::text          AS "startedAt",
       (SELECT system_identifier::text FROM pg_control_system())                  AS "systemIdentifier",
       coalesce((SELECT oid FROM pg_tablespace WHERE spcname = current_setting('default_tablespace')),
                (SELECT dattablespace FROM pg_database WHERE datname = $1),
                (SELECT dattablespace FROM pg_database WHERE datname = 'template0'))::int8::text AS "tablespace",
       (SELECT max(setting::int8) * 1024 * 1024 FROM pg_settings
         WHERE name IN ('max_wal_size', 'wal_keep_size'))::text                   AS "walBytes",
       (SELECT coalesce(sum(pg_total_relation_size(to_regclass(t))), 0) FROM unnest($2::text[]) AS t)::text AS "takenBytes";
