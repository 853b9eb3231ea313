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

-- Writes one message into the current transaction: the digest, a newline, the body. A body stays below 1 MiB: what is
-- longer says that it was cut, and a reader knows then that something changed, but not what.
CREATE OR REPLACE FUNCTION tidemark.emit(facts jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  message jsonb := facts || jsonb_build_object(
    'version', 2, 'xid', pg_current_xact_id()::text, 'source', (SELECT id FROM tidemark.source_id),
    'sessionUser', session_user, 'role', current_setting('role'), 'query', left(current_query(), 16384));
  body bytea := convert_to(message::text, 'UTF8');
BEGIN
  IF length(body) >= 1048576 THEN
    body := convert_to((message - '{objects,relations,query}'::text[] || '{"cut": true}')::text, 'UTF8');
  END IF;
  PERFORM pg_logical_emit_message(true, 'tidemark:ddl', convert_to(tidemark.sign(body) || E'\n', 'UTF8') || body);
  -- Decoding sorts a message by where it ends (logicalmsg_decode), a row by where it begins: a row that follows at once
  -- would come first, since the trigger's EXCEPTION block is a subtransaction. Something has to lie between.
  PERFORM pg_logical_emit_message(false, 'tidemark:behind', '');
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
  objects   jsonb;
  relations oid[];
BEGIN
  IF tag = 'REFRESH MATERIALIZED VIEW' THEN RETURN; END IF;
  SELECT jsonb_agg(jsonb_build_object('command', d.command_tag, 'type', d.object_type, 'schema', d.schema_name,
                                      'identity', d.object_identity, 'inExtension', d.in_extension,
                                      'oid', d.objid::int8::text, 'isColumn', nullif(d.objsubid > 0, false),
                                      'comment', CASE WHEN tag = 'COMMENT' AND d.objsubid > 0 THEN col_description(d.objid, d.objsubid)
                                                      WHEN tag = 'COMMENT' THEN obj_description(d.objid, d.classid::regclass::name) END,
                                      'details', CASE WHEN d.in_extension THEN NULL ELSE tidemark.describe_object(d.classid, d.objid) END)),
         array_agg(DISTINCT r.oid) FILTER (WHERE r.oid IS NOT NULL AND NOT d.in_extension)
    INTO objects, relations
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
    'kind', 'ddl', 'tag', tag, 'searchPath', path, 'objects', objects,
    'relations', (SELECT jsonb_agg(tidemark.describe(r)) FROM unnest(relations) AS r))));
  -- A partition gets its key with its parent's, or as it is attached; the command names the parent alone.
  PERFORM tidemark.tend((SELECT array_agg(DISTINCT t.oid)
                           FROM unnest(relations) AS r,
                                LATERAL (SELECT r AS oid UNION SELECT p.relid FROM pg_partition_tree(r) AS p) AS t));
END $$;

-- sql_drop: what is gone. A key may have gone with it, also by way of a type, a column or an index.
CREATE OR REPLACE FUNCTION tidemark.note_drop(path text, tag text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
  objects jsonb;
  indexes boolean;
BEGIN
  SELECT jsonb_agg(jsonb_build_object('type', d.object_type, 'schema', d.schema_name, 'name', d.object_name, 'identity', d.object_identity,
                                      'names', to_jsonb(d.address_names), 'original', d.original) ORDER BY d.original DESC, d.object_identity),
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
