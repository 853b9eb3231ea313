-- Indexes, views, functions, triggers, policies and grants: made after the rows, as a restore does.
CREATE INDEX ON market.apartments USING gin (search);
CREATE INDEX ON market.apartments (lower(title)) WHERE state = 'published';
CREATE INDEX ON market.messages (conversation_id, sent_at DESC);
CREATE INDEX ON market.analytics_events (name, occurred_at);
CREATE INDEX ON market.payments (user_id) INCLUDE (amount);
CREATE UNIQUE INDEX one_open_request ON market.gdpr_requests (user_id, kind) WHERE kind = 'erase' AND user_id IS NULL;
CREATE STATISTICS market.payments_stats (dependencies) ON user_id, currency FROM market.payments;
ALTER TABLE market.messages ADD CONSTRAINT body_is_text CHECK (length(body) < 100000) NOT VALID;

CREATE FUNCTION market.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- A body that looks like a dump:
--
-- TOC entry 1 (class 1259 OID 1)
-- Name: x; Type: TABLE; Schema: public; Owner: y
--
  INSERT INTO market.audit_log VALUES (now(), current_user, TG_TABLE_NAME || ' ' || TG_OP, NULL);
  RETURN NULL;
END $$;
CREATE TRIGGER apartments_audit AFTER INSERT OR UPDATE ON market.apartments FOR EACH STATEMENT EXECUTE FUNCTION market.touch();
CREATE TRIGGER apartments_always AFTER DELETE ON market.apartments FOR EACH STATEMENT EXECUTE FUNCTION market.touch();
ALTER TABLE market.apartments ENABLE ALWAYS TRIGGER apartments_always;

CREATE FUNCTION market.rent_of(market.apartments) RETURNS numeric LANGUAGE sql STABLE AS $$ SELECT $1.rent::numeric $$;
CREATE PROCEDURE market.archive_old(before timestamptz) LANGUAGE sql AS $$ UPDATE market.apartments SET state = 'archived' WHERE created_at < before $$;
CREATE AGGREGATE market.longest(text) (SFUNC = textcat, STYPE = text, INITCOND = '');

CREATE VIEW market.published AS SELECT id, title, rent, market.rent_of(apartments) AS same FROM market.apartments WHERE state = 'published' WITH CHECK OPTION;
CREATE VIEW market.events_by_name WITH (security_barrier) AS SELECT name, count(*) AS events FROM market.analytics_events GROUP BY name;
CREATE MATERIALIZED VIEW market.owner_totals AS SELECT owner_id, count(*) AS apartments, sum(rent) AS rent FROM market.apartments GROUP BY owner_id;
CREATE UNIQUE INDEX ON market.owner_totals (owner_id);
CREATE MATERIALIZED VIEW market.a_total_of_totals AS SELECT count(*) AS owners, sum(rent) AS rent FROM market.owner_totals;
CREATE MATERIALIZED VIEW market.not_populated AS SELECT 1 AS one WITH NO DATA;
CREATE RULE no_delete AS ON DELETE TO "Odd Names"."empty table" DO INSTEAD NOTHING;

ALTER TABLE market.conversations ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_conversations ON market.conversations FOR SELECT TO sample_app USING (tenant_id::text = current_setting('app.user_id', true));
CREATE POLICY "odd ""policy""" ON market.conversations AS RESTRICTIVE FOR ALL TO PUBLIC USING (opened_at > '2020-01-01');

GRANT USAGE ON SCHEMA market TO sample_app, "sample ""read only""";
GRANT SELECT, INSERT ON market.messages TO sample_app;
GRANT SELECT (id, email) ON market.users TO "sample ""read only""" WITH GRANT OPTION;
GRANT EXECUTE ON FUNCTION market.touch() TO sample_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA market GRANT SELECT ON TABLES TO "sample ""read only""";
COMMENT ON TABLE "a.b"."c" IS 'not "a"."b.c"';
COMMENT ON INDEX market.one_open_request IS 'comment on an index';
COMMENT ON CONSTRAINT rent_is_sane ON market.apartments IS 'comment on a constraint';
COMMENT ON TRIGGER apartments_audit ON market.apartments IS 'comment on a trigger';
SELECT lo_from_bytea(0, '\x74696465206d61726b'), lo_from_bytea(0, decode(repeat('00ff', 100000), 'hex'));
