-- What runs although the session's role is replica: triggers and rules ENABLE ALWAYS or REPLICA, event triggers too.
-- "silence" switches it off, "putBack" on again as it was.
SELECT format('trigger %I on %I.%I', t.tgname, n.nspname, c.relname) AS "object",
       format('ALTER TABLE ONLY %I.%I DISABLE TRIGGER %I', n.nspname, c.relname, t.tgname) AS "silence",
       format('ALTER TABLE ONLY %I.%I ENABLE %s TRIGGER %I', n.nspname, c.relname,
              CASE t.tgenabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END, t.tgname) AS "putBack"
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT t.tgisinternal AND t.tgenabled IN ('A', 'R') AND c.relkind IN ('r', 'p')
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT format('rule %I on %I.%I', r.rulename, n.nspname, c.relname),
       format('ALTER TABLE ONLY %I.%I DISABLE RULE %I', n.nspname, c.relname, r.rulename),
       format('ALTER TABLE ONLY %I.%I ENABLE %s RULE %I', n.nspname, c.relname,
              CASE r.ev_enabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END, r.rulename)
  FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE r.ev_type <> '1' AND r.ev_enabled IN ('A', 'R') AND c.relkind IN ('r', 'p')
UNION ALL
SELECT format('event trigger %I', evtname),
       format('ALTER EVENT TRIGGER %I DISABLE', evtname),
       format('ALTER EVENT TRIGGER %I ENABLE %s', evtname, CASE evtenabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END)
  FROM pg_event_trigger
 WHERE evtenabled IN ('A', 'R');
