-- What the marketplace does in some seconds: one transaction a statement. May be run again.
INSERT INTO market.messages (conversation_id, sender_id, body, sent_at)
SELECT id, tenant_id, 'Is the flat still free?', now() FROM market.conversations ORDER BY id LIMIT 20;
INSERT INTO market.payments (id, user_id, kind, amount, paid_at)
SELECT (SELECT max(id) FROM market.payments) + 1, id, 'rent', 1234.5, now() FROM market.users ORDER BY id LIMIT 1;
UPDATE market.payments SET paid_at = now() WHERE id = (SELECT max(id) FROM market.payments);
UPDATE market.apartments SET state = 'rented' WHERE id = (SELECT max(id) FROM market.apartments WHERE state = 'published');
DELETE FROM market.user_favorites WHERE (user_id, apartment_id) IN (SELECT user_id, apartment_id FROM market.user_favorites ORDER BY 1, 2 LIMIT 3);
INSERT INTO market.audit_log VALUES (now(), 'tenant', 'paid', '{"by": "transfer"}');
