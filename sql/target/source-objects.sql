-- Notes what the snapshot's objects ($1: catalogs, $2: their oids on the source, $3: names as SQL has them) are here.
INSERT INTO tidemark_restore.source_object (class, source, target)
SELECT o.class, o.source::oid, t.oid
  FROM unnest($1::text[], $2::text[], $3::text[]) AS o(class, source, name)
 CROSS JOIN LATERAL (SELECT CASE o.class WHEN 'pg_class' THEN to_regclass(o.name)::oid
                                         WHEN 'pg_type' THEN to_regtype(o.name)::oid
                                         WHEN 'pg_namespace' THEN to_regnamespace(o.name)::oid
                                         WHEN 'pg_proc' THEN to_regprocedure(o.name)::oid END AS oid) t
 WHERE t.oid IS NOT NULL
    ON CONFLICT (class, source) DO UPDATE SET target = EXCLUDED.target;
