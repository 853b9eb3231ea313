-- A relation or other object of this target, as its functions describe it: the one that the source's ($1: catalog, $2:
-- oid) is here, or that of the name $3. "description" is NULL when there is none.
SELECT (CASE $1 WHEN 'pg_class' THEN tidemark_restore.describe(t.oid)
                ELSE tidemark_restore.describe_object($1::regclass, t.oid) END)::text AS "description"
  FROM (SELECT coalesce((SELECT o.target FROM tidemark_restore.source_object o
                          WHERE o.class = $1 AND o.source = $2::oid
                            AND CASE $1 WHEN 'pg_class' THEN EXISTS (SELECT FROM pg_class c WHERE c.oid = o.target)
                                        WHEN 'pg_type' THEN EXISTS (SELECT FROM pg_type c WHERE c.oid = o.target)
                                        WHEN 'pg_namespace' THEN EXISTS (SELECT FROM pg_namespace c WHERE c.oid = o.target)
                                        WHEN 'pg_proc' THEN EXISTS (SELECT FROM pg_proc c WHERE c.oid = o.target) END),
                        CASE $1 WHEN 'pg_class' THEN to_regclass($3)::oid
                                WHEN 'pg_type' THEN to_regtype($3)::oid
                                WHEN 'pg_namespace' THEN to_regnamespace($3)::oid
                                WHEN 'pg_proc' THEN to_regprocedure($3)::oid END) AS oid) t;
