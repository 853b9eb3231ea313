-- One slot ($1) as it is now. Columns that older versions lack are null.
SELECT s.slot_name            AS "name",
       s.plugin::text         AS "plugin",
       s.slot_type            AS "type",
       s.database::text       AS "database",
       s.temporary            AS "temporary",
       s.active_pid           AS "activePid",
       a.application_name     AS "activeApplication",
       a.usename::text        AS "activeUser",
       s.restart_lsn::text    AS "restartLsn",
       s.confirmed_flush_lsn::text AS "confirmedFlushLsn",
       s.wal_status           AS "walStatus",
       s.safe_wal_size::text  AS "safeWalSize",
       to_jsonb(s) ->> 'invalidation_reason'   AS "invalidationReason",
       coalesce((to_jsonb(s) ->> 'failover')::boolean, false)  AS "failover"
  FROM pg_replication_slots s
  LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
 WHERE s.slot_name = $1;
