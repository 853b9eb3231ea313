-- Inserts and truncates of all tables, those to come included. No updates: they would fail on a table without identity.
CREATE PUBLICATION :"publication" FOR ALL TABLES WITH (publish = :'publish', publish_via_partition_root = false);
