-- Brings back what somebody has changed.
ALTER PUBLICATION :"publication" SET (publish = :'publish', publish_via_partition_root = false);
