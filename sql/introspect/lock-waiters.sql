-- Sessions that have waited longer than $1 ms for a lock that one of our sessions ($2: application name) holds.
SELECT w.pid                                               AS "pid",
       w.mode                                              AS "mode",
       coalesce(n.nspname || '.' || c.relname, w.locktype) AS "object",
       (extract(epoch FROM clock_timestamp() - w.waitstart) * 1000)::int AS "waitedMs"
  FROM pg_locks w
  LEFT JOIN pg_class c ON c.oid = w.relation
  LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT w.granted
   AND w.waitstart < clock_timestamp() - $1 * interval '1 millisecond'
   AND EXISTS (SELECT FROM unnest(pg_blocking_pids(w.pid)) AS b(pid)
                 JOIN pg_stat_activity a ON a.pid = b.pid
                WHERE a.application_name = $2 AND a.usename = current_user)
 ORDER BY w.waitstart
 LIMIT 5;
