-- The slot, after the publications: a change older than its publication can't be decoded. No snapshot is exported.
SELECT pg_create_logical_replication_slot(:'slot', 'pgoutput', false, false);
