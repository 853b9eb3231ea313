-- Rows by generate_series, the same for the same scale: hashes instead of random numbers.
-- sample.scale: 1 is about 1.2 GB of COPY text, 0.001 loads in a second. Text is made of phrases, so that it
-- compresses like what people write.
CREATE SCHEMA sample_loading;
CREATE FUNCTION sample_loading.rows(at_scale_one int, at_least int) RETURNS int LANGUAGE sql STABLE AS
  $$ SELECT greatest(at_least, (at_scale_one * coalesce(nullif(current_setting('sample.scale', true), ''), '0.01')::numeric)::int) $$;
CREATE FUNCTION sample_loading.h(seed bigint, salt int) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT hashint8extended(seed, salt) & 9223372036854775807 $$;
CREATE FUNCTION sample_loading.id(kind text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT md5(kind || n)::uuid $$;
CREATE TABLE sample_loading.phrases (i int PRIMARY KEY, text text NOT NULL);
INSERT INTO sample_loading.phrases
SELECT n, string_agg((ARRAY['the','flat','is','bright','and','quiet','with','a','view','of','park','kitchen','near','station','we','would',
  'like','to','visit','on','Monday','please','tell','me','if','rent','includes','heating','thank','you','very','much','balcony','two','rooms',
  'available','from','March','deposit','paid','key','landlord','wrote','that','elevator','works','again','sunny','Straße','größer','naïve','café'])
  [1 + sample_loading.h(n * 100 + w, 7) % 52], ' ' ORDER BY w)
  FROM generate_series(0, 1023) AS n, generate_series(1, 12) AS w GROUP BY n;

INSERT INTO market.users (id, email, full_name, home, phones, settings, avatar, birthday, last_seen, is_landlord, created_at)
SELECT sample_loading.id('user', n), 'user' || n || '@example.' || (ARRAY['com','org','de'])[1 + n % 3],
       initcap(split_part(p.text, ' ', 3) || ' ' || split_part(p.text, ' ', 7)),
       CASE WHEN n % 5 = 0 THEN ROW('Main "St", ' || n % 300, 'Berlin, (Mitte)', lpad((n % 99999)::text, 5, '0'), n % 12)::market.address END,
       CASE WHEN n % 3 = 0 THEN ARRAY['+49 30 ' || n, NULL, 'a,b"c\d'] ELSE '{}' END,
       jsonb_build_object('language', (ARRAY['de','en','fr'])[1 + n % 3], 'newsletter', n % 2 = 0, 'alerts', jsonb_build_array(n % 7, n % 11), 'big', 12345678901234567890),
       CASE WHEN n % 50 = 0 THEN decode(repeat(md5(n::text), 40), 'hex') END,
       date '1950-01-01' + (n % 20000)::int, timestamptz '2026-01-01 00:00:00.123456+00' + n * interval '37 seconds', n % 10 = 0,
       timestamptz '2024-01-01' + n * interval '3 minutes'
  FROM generate_series(1, sample_loading.rows(60000, 60)) AS n JOIN sample_loading.phrases p ON p.i = sample_loading.h(n, 1) % 1024;

INSERT INTO market.apartments (owner_id, title, description, state, rooms, area_m2, rent, location, available, tags, features, created_at)
SELECT sample_loading.id('user', 1 + sample_loading.h(n, 2) % sample_loading.rows(60000, 60)), initcap(left(p.text, 40)), p.text || '. ' || q.text || E'.\n\t' || p.text,
       (enum_range(NULL::market.listing_state))[1 + n % 5], 1 + (n % 9) / 2.0, 20 + n % 120 + 0.1, 300 + (n * 7) % 2500 + 0.99,
       point(13.4 + n / 1e6, 52.5 - n / 1e6), daterange(date '2026-01-01' + (n % 300)::int, CASE WHEN n % 4 > 0 THEN date '2027-06-01' END),
       ARRAY[split_part(p.text, ' ', 1), split_part(q.text, ' ', 2)],
       jsonb_build_object('heating', 'district', 'floor', n % 7, 'pets', n % 2 = 0, 'photos', (SELECT jsonb_agg(jsonb_build_object('url', 'https://img.example.com/' || md5((n * 10 + k)::text) || '.jpg', 'width', 1600, 'height', 1067)) FROM generate_series(1, 4) k)),
       timestamptz '2025-01-01' + n * interval '11 minutes'
  FROM generate_series(1, sample_loading.rows(40000, 40)) AS n
  JOIN sample_loading.phrases p ON p.i = sample_loading.h(n, 3) % 1024 JOIN sample_loading.phrases q ON q.i = sample_loading.h(n, 4) % 1024;

INSERT INTO market.user_favorites
SELECT sample_loading.id('user', 1 + n % sample_loading.rows(60000, 60)), 100 + (n / sample_loading.rows(60000, 60) * 7 + n) % sample_loading.rows(40000, 40), timestamp '2026-02-01' + n * interval '1 second', CASE WHEN n % 4 = 0 THEN 'note ' || n END
  FROM generate_series(0, sample_loading.rows(120000, 100)) AS n ON CONFLICT DO NOTHING;

INSERT INTO market.viewing_requests (apartment_id, user_id, slot, wait, confirmed, contact_ip)
SELECT 100 + n % sample_loading.rows(40000, 40), sample_loading.id('user', 1 + sample_loading.h(n, 5) % sample_loading.rows(60000, 60)),
       tstzrange(timestamptz '2026-03-01' + n * interval '1 hour', timestamptz '2026-03-01 00:30' + n * interval '1 hour', '[)'), n * interval '1 month 3 days 04:05:06.789',
       (ARRAY[true, false, NULL])[1 + n % 3], ('10.' || n % 256 || '.3.4')::inet
  FROM generate_series(1, sample_loading.rows(80000, 50)) AS n;

INSERT INTO market.conversations (id, apartment_id, tenant_id, opened_at)
SELECT sample_loading.id('conversation', n), 100 + n % sample_loading.rows(40000, 40), sample_loading.id('user', 1 + sample_loading.h(n, 6) % sample_loading.rows(60000, 60)), timestamptz '2026-01-05' + n * interval '5 minutes'
  FROM generate_series(1, sample_loading.rows(100000, 50)) AS n;

INSERT INTO market.messages (conversation_id, sender_id, body, attachments, read_at, sent_at)
SELECT sample_loading.id('conversation', 1 + n % sample_loading.rows(100000, 50)), sample_loading.id('user', 1 + sample_loading.h(n, 8) % sample_loading.rows(60000, 60)),
       p.text || CASE WHEN n % 3 = 0 THEN E'\n' || q.text ELSE ', ' || left(q.text, 30) END,
       CASE WHEN n % 20 = 0 THEN jsonb_build_array(jsonb_build_object('name', 'contract "v' || n % 9 || '".pdf', 'bytes', n * 13)) END,
       CASE WHEN n % 4 > 0 THEN timestamptz '2026-01-06' + n * interval '11 seconds' END, timestamptz '2026-01-05' + n * interval '10 seconds'
  FROM generate_series(1, sample_loading.rows(1500000, 300)) AS n
  JOIN sample_loading.phrases p ON p.i = sample_loading.h(n, 9) % 1024 JOIN sample_loading.phrases q ON q.i = sample_loading.h(n, 10) % 1024;
UPDATE market.conversations c SET last_message = m.id
  FROM (SELECT conversation_id, max(id) AS id FROM market.messages GROUP BY 1) m WHERE m.conversation_id = c.id AND left(c.id::text, 1) IN ('0', '5');

INSERT INTO market.payments (id, user_id, kind, amount, exact, price, currency, paid_at, receipt)
SELECT n, sample_loading.id('user', 1 + sample_loading.h(n, 11) % sample_loading.rows(60000, 60)), (enum_range(NULL::market.payment_kind))[1 + n % 4], 500 + (n % 90000) / 7.0,
       CASE n % 5 WHEN 0 THEN 'NaN'::numeric WHEN 1 THEN 1e-30 * n WHEN 2 THEN 1e30 + n END, (n % 5000)::int::money, 'EUR',
       CASE n % 9 WHEN 0 THEN 'infinity'::timestamptz WHEN 1 THEN NULL ELSE timestamptz '2026-01-01' + n * interval '1 minute' END,
       CASE WHEN n % 10 = 0 THEN ('<receipt n="' || n || '"><line>rent &amp; fees</line></receipt>')::xml END
  FROM generate_series(1, sample_loading.rows(400000, 120)) AS n;

INSERT INTO market.analytics_events
SELECT n, timestamptz '2026-01-01' + (sample_loading.h(n, 12) % 30000000) * interval '1 second', sample_loading.id('session', n / 20),
       CASE WHEN n % 3 > 0 THEN sample_loading.id('user', 1 + sample_loading.h(n / 20, 13) % sample_loading.rows(60000, 60)) END,
       (ARRAY['page_view','search','click','contact','favorite'])[1 + n % 5],
       jsonb_build_object('path', '/apartments/' || 100 + sample_loading.h(n, 14) % 40000, 'referrer', (ARRAY['https://www.example.com/','direct','newsletter'])[1 + n % 3],
         'browser', (ARRAY['Firefox/131','Chrome/130','Safari/18'])[1 + n / 20 % 3], 'viewport', jsonb_build_object('w', 1280 + n / 20 % 3 * 160, 'h', 800), 'query', left((SELECT text FROM sample_loading.phrases WHERE phrases.i = sample_loading.h(s.n, 15) % 1024), 24)),
       (sample_loading.h(n, 16) % 1000000) / 7.0
  FROM generate_series(1, sample_loading.rows(2300000, 600)) AS s(n);

INSERT INTO market.gdpr_requests
SELECT sample_loading.id('gdpr', n), sample_loading.id('user', n), (ARRAY['export','erase'])[1 + n % 2],
       convert_to(repeat((SELECT string_agg(text, E'\n') FROM sample_loading.phrases WHERE phrases.i % 64 = s.n % 64), 10), 'UTF8'), timestamptz '2026-05-01' + n * interval '1 hour'
  FROM generate_series(1, sample_loading.rows(2000, 5)) AS s(n);

INSERT INTO market.audit_log SELECT timestamptz '2026-01-01' + n * interval '1 minute', 'user' || n % 10, (ARRAY['login','logout',NULL])[1 + n % 3], '{"a": 1, "a": 2,  "spaces":   "kept"}' FROM generate_series(1, sample_loading.rows(50000, 50)) AS n;
INSERT INTO market.session_cache SELECT 'k' || n, '{}' FROM generate_series(1, 20) AS n;
INSERT INTO market.base_document SELECT n, 'document ' || n FROM generate_series(1, 10) AS n;
INSERT INTO market.contract SELECT n, 'contract ' || n, date '2026-01-01' + n FROM generate_series(11, 20) AS n;
INSERT INTO "Odd Names"."a.b" VALUES (1, 'odd'), (2, E'tab\t, newline\n, backslash \\ and \\N'), (3, '\.'), (4, NULL), (5, '');
INSERT INTO "a.b"."c" VALUES (1, 'schema a.b, table c'), (2, E'\u00e4\U0001F600');
INSERT INTO "a"."b.c" VALUES (1, 'schema a, table b.c');
INSERT INTO "Odd Names"."with ""quotes"" and
newline / slash ..\ – ünïcødé" VALUES ('x', 1), (NULL, NULL);
INSERT INTO "Odd Names".no_columns SELECT FROM generate_series(1, 3);
INSERT INTO "Odd Names".only_generated SELECT n FROM generate_series(1, 4) AS n;
INSERT INTO "Odd Names".dropped_column VALUES (1, 'kept'), (2, NULL);
INSERT INTO "Odd Names".one_large_value SELECT 1, string_agg('entry ' || n || ': ' || (SELECT text FROM sample_loading.phrases WHERE phrases.i = n % 1024), E'\n') FROM generate_series(1, 40000) AS n;
SELECT setval('market.invoice_numbers', 424242, true);
SET client_min_messages = warning;
DROP SCHEMA sample_loading CASCADE;
RESET client_min_messages;
