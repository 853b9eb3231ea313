-- A publication whose tables are added one by one.
CREATE PUBLICATION :"publication" WITH (publish = :'publish', publish_via_partition_root = false);
