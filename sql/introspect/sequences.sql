-- Where all sequences stand that this role may read. last_value is null until the first use.
SELECT schemaname AS "schema", sequencename AS "name", last_value::text AS "value"
  FROM pg_sequences
 WHERE last_value IS NOT NULL AND schemaname <> 'tidemark';
