-- What the event triggers call. None of these is SECURITY DEFINER: called by anybody but the owner they can read
-- neither the secret nor sign with it. pg_temp stands last in search_path: left out, it would be looked into first, and
-- a caller's temporary view named like a catalog would run the caller's code with the owner's rights.

-- Whether updates of a table could be published without breaking them (CheckCmdReplicaIdentity in execReplication.c):
-- a key that is valid, immediate and whole, or REPLICA IDENTITY FULL. Generated columns are not sent, so that a key
-- made of them is none; from 18 on, such updates fail, also under FULL.
CREATE OR REPLACE FUNCTION tidemark.has_identity(relation oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE c.relreplident
           WHEN 'n' THEN false
           WHEN 'f' THEN current_setting('server_version_num')::int < 180000
                         OR NOT EXISTS (SELECT FROM pg_attribute a
                                         WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped)
           ELSE EXISTS (SELECT FROM pg_index i
                         WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL
                           AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END
                           AND NOT EXISTS (SELECT FROM pg_attribute a
                                            WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[]) AND a.attgenerated <> ''))
         END
    FROM pg_class c WHERE c.oid = relation
$$;

-- HMAC-SHA-256 (RFC 2104) under tidemark.secret, from built-in functions alone; 64 hexadecimal digits.
CREATE OR REPLACE FUNCTION tidemark.sign(body bytea) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT encode(sha256(pads.outer_pad || sha256(pads.inner_pad || body)), 'hex')
    FROM (SELECT string_agg(set_byte('\x00'::bytea, 0, get_byte(k.block, at) # 54), ''::bytea ORDER BY at) AS inner_pad,
                 string_agg(set_byte('\x00'::bytea, 0, get_byte(k.block, at) # 92), ''::bytea ORDER BY at) AS outer_pad
            FROM (SELECT key || decode(repeat('00', 32), 'hex') AS block FROM tidemark.secret) k, generate_series(0, 63) AS at) pads
$$;

-- Everything a reader needs to make a relation again; names are fully qualified, since search_path holds nothing else.
CREATE OR REPLACE FUNCTION tidemark.describe(relation oid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object(
           'oid', c.oid::int8::text, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'persistence', c.relpersistence,
           'owner', pg_get_userbyid(c.relowner), 'replicaIdentity', c.relreplident, 'options', to_jsonb(c.reloptions),
           'rowSecurity', c.relrowsecurity, 'forceRowSecurity', c.relforcerowsecurity,
           'partitionKey', CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
           'partitionBound', pg_get_expr(c.relpartbound, c.oid),
           'parents', (SELECT jsonb_agg(i.inhparent::regclass::text ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid),
           'definition', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
           'sequence', (SELECT to_jsonb(s) - 'seqrelid' FROM pg_sequence s WHERE s.seqrelid = c.oid),
           'columns', (SELECT jsonb_agg(jsonb_build_object(
                                'number', a.attnum, 'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'notNull', a.attnotnull,
                                'default', pg_get_expr(d.adbin, d.adrelid), 'identity', nullif(a.attidentity, ''), 'generated', nullif(a.attgenerated, ''),
                                'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
                                'inherited', CASE WHEN a.attinhcount > 0 THEN true END) ORDER BY a.attnum)
                         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'S'),
           'constraints', (SELECT jsonb_agg(jsonb_build_object('name', k.conname, 'type', k.contype, 'definition', pg_get_constraintdef(k.oid)) ORDER BY k.conname)
                             FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype <> 't'),
           'indexes', (SELECT jsonb_agg(jsonb_build_object('name', x.relname, 'definition', pg_get_indexdef(i.indexrelid), 'primary', i.indisprimary,
                                                           'replicaIdentity', i.indisreplident, 'valid', i.indisvalid) ORDER BY x.relname)
                         FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid),
           'triggers', (SELECT jsonb_agg(jsonb_build_object('name', g.tgname, 'enabled', g.tgenabled, 'definition', pg_get_triggerdef(g.oid)) ORDER BY g.tgname)
                          FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal),
           'policies', (SELECT jsonb_agg(jsonb_build_object('name', p.polname, 'command', p.polcmd, 'permissive', p.polpermissive,
                                                            'roles', (SELECT jsonb_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(r)::text END) FROM unnest(p.polroles) r),
                                                            'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid)) ORDER BY p.polname)
                          FROM pg_policy p WHERE p.polrelid = c.oid),
           'rules', (SELECT jsonb_agg(pg_get_ruledef(w.oid) ORDER BY w.rulename) FROM pg_rewrite w
                      WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN')))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.oid = relation
$$;

-- Writes one message into the current transaction: the digest, a newline, the body. A body stays below 1 MiB: what is
-- longer says that it was cut, and a reader knows then that something changed, but not what.
CREATE OR REPLACE FUNCTION tidemark.emit(facts jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  message jsonb := facts || jsonb_build_object(
    'version', 1, 'xid', pg_current_xact_id()::text, 'source', (SELECT id FROM tidemark.source_id),
    'sessionUser', session_user, 'role', current_setting('role'), 'query', left(current_query(), 16384));
  body bytea := convert_to(message::text, 'UTF8');
BEGIN
  IF length(body) >= 1048576 THEN
    body := convert_to((message - '{objects,relations,definitions,query}'::text[] || '{"cut": true}')::text, 'UTF8');
  END IF;
  PERFORM pg_logical_emit_message(true, 'tidemark:ddl', convert_to(tidemark.sign(body) || E'\n', 'UTF8') || body);
END $$;

-- Keeps the publications with table lists in line with the tables. `_changes` names leaves, one by one, that have an
-- identity now: a partitioned table in it would publish partitions that come later, with or without a key. `_rows`
-- without FOR ALL TABLES names every table and every partitioned one. NULL: look at the members alone, for what to take out.
-- What can't be done here (no right, or another schema change holds the publication) is left to who looks next.
CREATE OR REPLACE FUNCTION tidemark.tend(relations oid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  work record;
BEGIN
  FOR work IN
    SELECT format('ALTER PUBLICATION %I %s TABLE ONLY %I.%I', t.pubname, CASE WHEN t.wanted THEN 'ADD' ELSE 'DROP' END, t.nspname, t.relname) AS command
      FROM (SELECT p.pubname, n.nspname, c.relname, m.prrelid IS NOT NULL AS member,
                   c.relpersistence = 'p' AND n.nspname <> 'tidemark' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                     AND CASE WHEN p.pubname LIKE '%\_changes' THEN c.relkind = 'r' AND tidemark.has_identity(c.oid)
                              ELSE c.relkind IN ('r', 'p') END AS wanted
              FROM pg_publication p
              CROSS JOIN pg_class c
              JOIN pg_namespace n ON n.oid = c.relnamespace
              LEFT JOIN pg_publication_rel m ON m.prpubid = p.oid AND m.prrelid = c.oid
             WHERE p.pubname ~ '^tidemark_.*_(rows|changes)$' AND NOT p.puballtables
               AND c.relkind IN ('r', 'p')
               AND CASE WHEN relations IS NULL THEN m.prrelid IS NOT NULL ELSE c.oid = ANY (relations) END) t
     WHERE t.member <> t.wanted
  LOOP
    BEGIN
      EXECUTE work.command;
    EXCEPTION
      WHEN insufficient_privilege OR lock_not_available THEN NULL;
    END;
  END LOOP;
END $$;

-- ddl_command_end: what was made or altered, described as it is now.
CREATE OR REPLACE FUNCTION tidemark.note_ddl(path text, tag text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
  objects     jsonb;
  relations   oid[];
  definitions jsonb;
BEGIN
  IF tag = 'REFRESH MATERIALIZED VIEW' THEN RETURN; END IF;
  SELECT jsonb_agg(jsonb_build_object('command', d.command_tag, 'type', d.object_type, 'schema', d.schema_name,
                                      'identity', d.object_identity, 'inExtension', d.in_extension)),
         array_agg(DISTINCT r.oid) FILTER (WHERE r.oid IS NOT NULL AND NOT d.in_extension),
         jsonb_object_agg(d.object_identity, CASE WHEN d.classid = 'pg_proc'::regclass THEN to_jsonb(pg_get_functiondef(d.objid))
                                                  ELSE (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = d.objid) END)
           FILTER (WHERE NOT d.in_extension AND d.object_identity IS NOT NULL
                     AND (d.classid = 'pg_proc'::regclass AND EXISTS (SELECT FROM pg_proc f WHERE f.oid = d.objid AND f.prokind <> 'a')
                          OR d.classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_enum e WHERE e.enumtypid = d.objid)))
    INTO objects, relations, definitions
    FROM pg_event_trigger_ddl_commands() d
    LEFT JOIN pg_class r ON r.oid = CASE d.classid
           WHEN 'pg_class'::regclass THEN coalesce((SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = d.objid), d.objid)
           WHEN 'pg_trigger'::regclass THEN (SELECT g.tgrelid FROM pg_trigger g WHERE g.oid = d.objid)
           WHEN 'pg_policy'::regclass THEN (SELECT p.polrelid FROM pg_policy p WHERE p.oid = d.objid)
           WHEN 'pg_constraint'::regclass THEN (SELECT k.conrelid FROM pg_constraint k WHERE k.oid = d.objid)
           WHEN 'pg_rewrite'::regclass THEN (SELECT w.ev_class FROM pg_rewrite w WHERE w.oid = d.objid)
         END
   WHERE coalesce(d.schema_name, '') NOT IN ('pg_temp', 'tidemark') AND coalesce(r.relpersistence, 'p') <> 't';
  IF objects IS NULL THEN RETURN; END IF;
  PERFORM tidemark.emit(jsonb_strip_nulls(jsonb_build_object(
    'kind', 'ddl', 'tag', tag, 'searchPath', path, 'objects', objects, 'definitions', definitions,
    'relations', (SELECT jsonb_agg(tidemark.describe(r)) FROM unnest(relations) AS r))));
  PERFORM tidemark.tend(relations);
END $$;

-- sql_drop: what is gone. A key may have gone with it, also by way of a type, a column or an index.
CREATE OR REPLACE FUNCTION tidemark.note_drop(path text, tag text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
  objects jsonb;
  indexes boolean;
BEGIN
  SELECT jsonb_agg(jsonb_build_object('type', d.object_type, 'schema', d.schema_name, 'name', d.object_name, 'identity', d.object_identity,
                                      'original', d.original) ORDER BY d.original DESC, d.object_identity),
         bool_or(d.object_type IN ('index', 'table constraint'))
    INTO objects, indexes
    FROM pg_event_trigger_dropped_objects() d
   WHERE NOT d.is_temporary AND coalesce(d.schema_name, '') <> 'tidemark'
     AND (d.original OR d.object_type NOT IN ('toast table', 'type', 'default value'));
  IF objects IS NULL THEN RETURN; END IF;
  PERFORM tidemark.emit(jsonb_strip_nulls(jsonb_build_object('kind', 'drop', 'tag', tag, 'searchPath', path, 'objects', objects)));
  IF indexes THEN PERFORM tidemark.tend(NULL); END IF;
END $$;

-- table_rewrite: rows that exist get new content which no change message carries.
CREATE OR REPLACE FUNCTION tidemark.note_rewrite(path text, tag text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  relation oid := pg_event_trigger_table_rewrite_oid();
BEGIN
  IF (SELECT c.relpersistence = 't' FROM pg_class c WHERE c.oid = relation) THEN RETURN; END IF;
  PERFORM tidemark.emit(jsonb_build_object(
    'kind', 'rewrite', 'tag', tag, 'searchPath', path, 'reason', pg_event_trigger_table_rewrite_reason(),
    'relation', (SELECT jsonb_build_object('oid', c.oid::int8::text, 'schema', n.nspname, 'name', c.relname)
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation)));
END $$;

-- The trigger functions run as their owner, who alone reads the secret, and let no error through: an application's
-- schema change never fails by us (what is missed shows by drift). They take the caller's search_path before the
-- functions above pin their own: hence no SET here, and nothing but fully qualified names.
CREATE OR REPLACE FUNCTION tidemark.on_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  PERFORM tidemark.note_ddl(pg_catalog.current_setting('search_path'), tg_tag);
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'tidemark could not record %: %', tg_tag, sqlerrm;
END $$;
CREATE OR REPLACE FUNCTION tidemark.on_drop() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  PERFORM tidemark.note_drop(pg_catalog.current_setting('search_path'), tg_tag);
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'tidemark could not record %: %', tg_tag, sqlerrm;
END $$;
CREATE OR REPLACE FUNCTION tidemark.on_rewrite() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  PERFORM tidemark.note_rewrite(pg_catalog.current_setting('search_path'), tg_tag);
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'tidemark could not record %: %', tg_tag, sqlerrm;
END $$;
