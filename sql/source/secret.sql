-- The key of the digest on DDL messages: anybody may emit a message under our prefix, so only the digest makes it ours.
-- It is made on the server from eight random UUIDs, and no other role reads it: row security keeps out members of
-- pg_read_all_data too, and default privileges may have granted what nobody asked for.
CREATE TABLE IF NOT EXISTS tidemark.secret (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  key      bytea NOT NULL CHECK (length(key) = 32)
);
ALTER TABLE tidemark.secret ENABLE ROW LEVEL SECURITY;
DO $$
DECLARE
  other oid;
BEGIN
  FOR other IN
    SELECT DISTINCT a.grantee FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
     WHERE c.oid = 'tidemark.secret'::pg_catalog.regclass AND a.grantee <> c.relowner
  LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON tidemark.secret FROM %s', CASE WHEN other = 0 THEN 'PUBLIC' ELSE other::pg_catalog.regrole::text END);
  END LOOP;
END $$;
INSERT INTO tidemark.secret (key)
SELECT sha256(string_agg(uuid_send(gen_random_uuid()), ''::bytea)) FROM generate_series(1, 8)
    ON CONFLICT DO NOTHING;
