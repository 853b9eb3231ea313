-- Transactions of the whole cluster that have an xid, oldest first: making a logical slot waits for all of them. Locks
-- show them to every role; names and ages of other users' sessions are null without pg_read_all_stats.
SELECT l.transactionid::text   AS "xid",
       l.pid                   AS "pid",
       coalesce(a.usename::text, x.owner::text)  AS "user",
       a.application_name      AS "application",
       x.gid                   AS "prepared",
       (extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, x.prepared)) * 1000)::int8::text AS "ageMs"
  FROM pg_locks l
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
  LEFT JOIN pg_prepared_xacts x ON x.transaction = l.transactionid
 WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
 ORDER BY age(l.transactionid) DESC;
