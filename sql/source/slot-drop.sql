-- First of all that is removed: with its publications gone, the slot could not be decoded any more.
SELECT pg_drop_replication_slot(:'slot');
