-- What capture looks at every few seconds: one row. $1: its slot; $2: pid of its walsender, or null. Any role may run it,
-- as long as it may see the walsender, which is its own.
SELECT pg_current_wal_insert_lsn()::text                             AS "position",
       pg_snapshot_xmax(pg_current_snapshot())::text                 AS "nextXid",
       (extract(epoch FROM clock_timestamp() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::int8::text AS "clock",
       s.slot_name IS NOT NULL                                       AS "slotExists",
       s.active_pid                                                  AS "activePid",
       s.confirmed_flush_lsn::text                                   AS "confirmed",
       s.restart_lsn::text                                           AS "restart",
       s.wal_status                                                  AS "walStatus",
       s.safe_wal_size::text                                         AS "safeWalSize",
       (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS "keepMegabytes",
       (SELECT sync_state FROM pg_stat_replication WHERE pid = $2)   AS "syncState",
       (SELECT count(*)::int FROM pg_event_trigger
         WHERE evtname IN ('tidemark_ddl', 'tidemark_drop', 'tidemark_rewrite') AND evtenabled <> 'D') AS "eventTriggers"
  FROM (SELECT 1) one
  LEFT JOIN pg_replication_slots s ON s.slot_name = $1;
