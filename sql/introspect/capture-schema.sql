-- What else tells two looks at a source apart: one row. `xmin`: every transaction that this look does not see has at
-- least this xid. `triggers`: our event triggers, empty unless all three are there; another text once one was dropped,
-- made again or switched. `objects`: a digest of what is no column: defaults, indexes by name, constraints, triggers, rules of
-- views, policies, functions, enums; temporary ones aside.
WITH relations AS MATERIALIZED (
  SELECT c.oid, c.relname, c.relkind
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tidemark', 'tidemark_restore')
), objects AS (
  SELECT concat_ws(' ', 'index', i.indrelid, r.relname) AS fact FROM pg_index i JOIN relations r ON r.oid = i.indexrelid
  UNION ALL SELECT concat_ws(' ', 'default', d.oid, d.xmin) FROM pg_attrdef d JOIN relations r ON r.oid = d.adrelid
  UNION ALL SELECT concat_ws(' ', 'constraint', k.oid, k.xmin) FROM pg_constraint k JOIN relations r ON r.oid = k.conrelid
  UNION ALL SELECT concat_ws(' ', 'trigger', t.oid, t.xmin) FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
  UNION ALL SELECT concat_ws(' ', 'rule', w.oid, w.xmin) FROM pg_rewrite w JOIN relations r ON r.oid = w.ev_class
  UNION ALL SELECT concat_ws(' ', 'policy', p.oid, p.xmin) FROM pg_policy p JOIN relations r ON r.oid = p.polrelid
  UNION ALL SELECT concat_ws(' ', 'function', f.oid, f.xmin) FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
             WHERE f.oid >= 16384 AND n.nspname !~ '^pg_' AND n.nspname <> 'tidemark'
  UNION ALL SELECT concat_ws(' ', 'label', e.oid, e.xmin) FROM pg_enum e
)
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS "xmin",
       (SELECT CASE WHEN count(*) = 3 THEN string_agg(concat_ws(' ', t.oid, t.xmin, t.evtenabled), ',' ORDER BY t.oid) ELSE '' END
          FROM pg_event_trigger t
         WHERE t.evtname IN ('tidemark_ddl', 'tidemark_drop', 'tidemark_rewrite') AND t.evtenabled <> 'D') AS "triggers",
       (SELECT hashtextextended(coalesce(string_agg(fact, ',' ORDER BY fact COLLATE "C"), ''), 0)::text FROM objects) AS "objects";
