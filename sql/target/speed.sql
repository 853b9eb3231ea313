-- A small calculation to see how fast the server is just now: 200 000 digests, sorted by 10 000, so that nothing of it
-- needs a temporary file.
SELECT count(*)
  FROM generate_series(0, 19) AS batch,
       LATERAL (SELECT md5(n::text) AS digest FROM generate_series(batch * 10000 + 1, (batch + 1) * 10000) AS n ORDER BY 1 OFFSET 0) AS digests;
