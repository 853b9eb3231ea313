-- PostgreSQL 17 and newer: standbys that synchronise slots carry this one over a failover.
SELECT pg_create_logical_replication_slot(:'slot', 'pgoutput', temporary => false, twophase => false, failover => true);
