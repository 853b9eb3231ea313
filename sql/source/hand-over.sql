-- What the role that captures needs of objects that another role has made.
SELECT set_config('tidemark.role', :'role', false);
DO $$
DECLARE
  reader text := pg_catalog.quote_ident(pg_catalog.current_setting('tidemark.role'));
BEGIN
  IF pg_catalog.pg_has_role(pg_catalog.current_setting('tidemark.role'), current_user, 'USAGE') THEN RETURN; END IF;
  EXECUTE 'GRANT USAGE ON SCHEMA tidemark TO ' || reader;
  EXECUTE 'GRANT SELECT ON tidemark.source_id, tidemark.secret TO ' || reader;
  EXECUTE 'DROP POLICY IF EXISTS capture ON tidemark.secret';
  EXECUTE 'CREATE POLICY capture ON tidemark.secret FOR SELECT TO ' || reader || ' USING (true)';
END $$;
