-- A small calculation that writes nothing, to see how fast the server is just now: 200 000 digests, sorted.
SELECT count(*) FROM (SELECT md5(n::text) AS digest FROM generate_series(1, 200000) AS n ORDER BY 1) AS digests;
