-- What is said of things that were made or altered: all that makes them again, as they are now. Text is the same
-- whatever the session's settings; names are fully qualified, since search_path holds nothing else. A restore has these
-- functions on its target too, in a schema of its own, and compares.

-- A sequence's numbers as text: they pass what JSON's readers can hold.
CREATE OR REPLACE FUNCTION :"schema".describe_sequence(sequence oid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object('type', format_type(seqtypid, NULL), 'start', seqstart::text, 'increment', seqincrement::text,
                            'max', seqmax::text, 'min', seqmin::text, 'cache', seqcache::text, 'cycle', seqcycle)
    FROM pg_sequence WHERE seqrelid = sequence
$$;

-- A relation of any kind.
CREATE OR REPLACE FUNCTION :"schema".describe(relation oid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO, MDY' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET extra_float_digits = 3 SET bytea_output = 'hex' SET lc_monetary = 'C' AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object(
           'oid', c.oid::int8::text, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'persistence', c.relpersistence,
           'owner', pg_get_userbyid(c.relowner), 'replicaIdentity', c.relreplident, 'options', to_jsonb(c.reloptions),
           'rowSecurity', c.relrowsecurity, 'forceRowSecurity', c.relforcerowsecurity, 'comment', obj_description(c.oid, 'pg_class'),
           'ofType', CASE WHEN c.reloftype <> 0 THEN c.reloftype::regtype::text END,
           'partitionKey', CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
           'partitionBound', pg_get_expr(c.relpartbound, c.oid),
           'parents', (SELECT jsonb_agg(i.inhparent::regclass::text ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid),
           'partitions', CASE WHEN c.relkind = 'p' THEN
                           (SELECT jsonb_agg(jsonb_build_object('relation', p.oid::regclass::text, 'bound', pg_get_expr(p.relpartbound, p.oid)) ORDER BY p.oid)
                              FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid WHERE i.inhparent = c.oid) END,
           'definition', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
           'populated', CASE WHEN c.relkind = 'm' THEN c.relispopulated END,
           'sequence', CASE WHEN c.relkind = 'S' THEN :"schema".describe_sequence(c.oid) END,
           'ownedBy', (SELECT jsonb_build_object('table', d.refobjid::regclass::text, 'column', a.attname, 'isIdentity', d.deptype = 'i')
                         FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                        WHERE c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')),
           'columns', (SELECT jsonb_agg(jsonb_build_object(
                                'number', a.attnum, 'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'notNull', a.attnotnull,
                                'default', pg_get_expr(d.adbin, d.adrelid), 'identity', nullif(a.attidentity, ''), 'generated', nullif(a.attgenerated, ''),
                                'identitySequence', (SELECT jsonb_build_object('name', q.oid::regclass::text) || :"schema".describe_sequence(q.oid)
                                                       FROM pg_depend e JOIN pg_class q ON q.oid = e.objid AND q.relkind = 'S'
                                                      WHERE a.attidentity <> '' AND e.classid = 'pg_class'::regclass AND e.refclassid = 'pg_class'::regclass
                                                        AND e.refobjid = c.oid AND e.refobjsubid = a.attnum AND e.deptype = 'i'),
                                'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
                                'storage', CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage END,
                                -- What rows from before the column have in it: the default as it was evaluated then.
                                'missing', CASE WHEN t.typdelim <> ',' THEN NULL
                                                WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1]
                                                WHEN c.relkind = 'p' AND d.adbin IS NOT NULL THEN
                                                  (SELECT (m.attmissingval::text::text[])[1] FROM pg_partition_tree(c.oid) r
                                                     JOIN pg_attribute m ON m.attrelid = r.relid AND m.attname = a.attname AND m.atthasmissing LIMIT 1) END,
                                'comment', col_description(c.oid, a.attnum),
                                'inherited', CASE WHEN a.attinhcount > 0 THEN true END,
                                'notLocal', CASE WHEN NOT a.attislocal THEN true END) ORDER BY a.attnum)
                         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'S'),
           'constraints', (SELECT jsonb_agg(jsonb_build_object('name', k.conname, 'type', k.contype, 'definition', pg_get_constraintdef(k.oid),
                                                               'validated', k.convalidated, 'deferrable', k.condeferrable, 'deferred', k.condeferred,
                                                               'inherited', CASE WHEN k.conparentid <> 0 OR NOT k.conislocal THEN true END) ORDER BY k.conname)
                             FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype <> 't'),
           'indexes', (SELECT jsonb_agg(jsonb_build_object('name', x.relname, 'definition', pg_get_indexdef(i.indexrelid), 'primary', i.indisprimary,
                                                           'replicaIdentity', i.indisreplident, 'valid', i.indisvalid,
                                                           'inherited', CASE WHEN x.relispartition THEN true END,
                                                           'isConstraint', CASE WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.oid AND k.contype IN ('p', 'u', 'x')) THEN true END) ORDER BY x.relname)
                         FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid),
           'triggers', (SELECT jsonb_agg(jsonb_build_object('name', g.tgname, 'enabled', g.tgenabled, 'definition', pg_get_triggerdef(g.oid),
                                                            'inherited', CASE WHEN g.tgparentid <> 0 THEN true END) ORDER BY g.tgname)
                          FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal),
           'policies', (SELECT jsonb_agg(jsonb_build_object('name', p.polname, 'command', p.polcmd, 'permissive', p.polpermissive,
                                                            'roles', (SELECT jsonb_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(r)::text END) FROM unnest(p.polroles) r),
                                                            'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid)) ORDER BY p.polname)
                          FROM pg_policy p WHERE p.polrelid = c.oid),
           'rules', (SELECT jsonb_agg(jsonb_build_object('name', w.rulename, 'definition', pg_get_ruledef(w.oid)) ORDER BY w.rulename) FROM pg_rewrite w
                      WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN')))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.oid = relation
$$;

-- An enum, a domain or a composite type; of other types, that they are there.
CREATE OR REPLACE FUNCTION :"schema".describe_type(type oid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO, MDY' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET extra_float_digits = 3 SET bytea_output = 'hex' SET lc_monetary = 'C' AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object(
           'oid', t.oid::int8::text, 'schema', n.nspname, 'name', t.typname, 'kind', t.typtype, 'owner', pg_get_userbyid(t.typowner),
           'labels', CASE WHEN t.typtype = 'e' THEN (SELECT coalesce(jsonb_agg(e.enumlabel ORDER BY e.enumsortorder), '[]') FROM pg_enum e WHERE e.enumtypid = t.oid) END,
           'base', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
           'notNull', CASE WHEN t.typtype = 'd' THEN t.typnotnull END,
           'default', CASE WHEN t.typtype = 'd' THEN pg_get_expr(t.typdefaultbin, 0) END,
           'collation', CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation THEN t.typcollation::regcollation::text END,
           'constraints', CASE WHEN t.typtype = 'd' THEN
                            (SELECT jsonb_agg(jsonb_build_object('name', k.conname, 'type', k.contype, 'definition', pg_get_constraintdef(k.oid), 'validated', k.convalidated) ORDER BY k.conname)
                               FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c') END,
           'attributes', CASE WHEN t.typtype = 'c' THEN
                           (SELECT jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                                                                'collation', CASE WHEN a.attcollation <> y.typcollation THEN a.attcollation::regcollation::text END) ORDER BY a.attnum)
                              FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
                             WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) END))
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_type b ON b.oid = t.typbasetype
   WHERE t.oid = type
$$;

-- What is no relation.
CREATE OR REPLACE FUNCTION :"schema".describe_object(class oid, object oid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE class
           WHEN 'pg_type'::regclass THEN :"schema".describe_type(object)
           WHEN 'pg_class'::regclass THEN (SELECT :"schema".describe_type(c.reltype) FROM pg_class c WHERE c.oid = object AND c.relkind = 'c')
           WHEN 'pg_constraint'::regclass THEN (SELECT :"schema".describe_type(k.contypid) FROM pg_constraint k WHERE k.oid = object AND k.contypid <> 0)
           WHEN 'pg_proc'::regclass THEN
             (SELECT jsonb_build_object('oid', p.oid::int8::text, 'schema', n.nspname, 'name', p.proname, 'kind', 'function', 'signature', p.oid::regprocedure::text,
                                        'owner', pg_get_userbyid(p.proowner), 'definition', pg_get_functiondef(p.oid))
                FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = object AND p.prokind <> 'a')
           WHEN 'pg_namespace'::regclass THEN
             (SELECT jsonb_build_object('oid', n.oid::int8::text, 'name', n.nspname, 'kind', 'schema', 'owner', pg_get_userbyid(n.nspowner))
                FROM pg_namespace n WHERE n.oid = object)
           WHEN 'pg_extension'::regclass THEN
             (SELECT jsonb_build_object('name', e.extname, 'kind', 'extension', 'schema', n.nspname)
                FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.oid = object)
           WHEN 'pg_statistic_ext'::regclass THEN
             (SELECT jsonb_build_object('schema', n.nspname, 'name', s.stxname, 'kind', 'statistics', 'definition', pg_get_statisticsobjdef(s.oid))
                FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.oid = object)
         END
$$;
