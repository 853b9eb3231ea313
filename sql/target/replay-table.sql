-- Whether rows of a relation ($1, quoted) can be replayed. "firing" has what runs although the session's role is
-- replica, "origin" what would run in an ordinary session.
SELECT c.relkind::text AS "kind",
       ARRAY(SELECT format('trigger %I', tgname) FROM pg_trigger
              WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled IN ('A', 'R')
             UNION ALL
             SELECT format('rule %I', rulename) FROM pg_rewrite
              WHERE ev_class = c.oid AND ev_type <> '1' AND ev_enabled IN ('A', 'R')) AS "firing",
       ARRAY(SELECT format('trigger %I', tgname) FROM pg_trigger
              WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled IN ('A', 'O')
             UNION ALL
             SELECT format('rule %I', rulename) FROM pg_rewrite
              WHERE ev_class = c.oid AND ev_type <> '1' AND ev_enabled IN ('A', 'O')
             UNION ALL
             SELECT format('foreign key %I', conname) FROM pg_constraint
              WHERE contype = 'f' AND c.oid IN (conrelid, confrelid)) AS "origin"
  FROM pg_class c
 WHERE c.oid = to_regclass($1);
