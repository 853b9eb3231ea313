-- Publications by name ($1), and a digest of everything that decides what they carry: options, tables, filters,
-- columns. It changes whenever somebody changes that, and not else.
SELECT p.pubname      AS "name",
       p.puballtables AS "allTables",
       p.pubinsert    AS "insert",
       p.pubupdate    AS "update",
       p.pubdelete    AS "delete",
       p.pubtruncate  AS "truncate",
       p.pubviaroot   AS "viaRoot",
       pg_get_userbyid(p.pubowner)         AS "owner",
       pg_has_role(p.pubowner, 'USAGE')    AS "owned",
       -- A row filter or a column list (15 on) keeps changes back: never ours.
       EXISTS (SELECT FROM pg_publication_rel m
                WHERE m.prpubid = p.oid AND coalesce(to_jsonb(m) ->> 'prqual', to_jsonb(m) ->> 'prattrs') IS NOT NULL) AS "filtered",
       -- Options and identity alone: tables come and go within the application's own transactions.
       encode(sha256(convert_to((to_jsonb(p) - 'pubowner')::text, 'UTF8')), 'hex') AS "shape",
       encode(sha256(convert_to((to_jsonb(p) - 'pubowner')::text || coalesce(
         (SELECT string_agg((to_jsonb(m) - 'oid' || jsonb_build_object('name', n.nspname, 'table', c.relname))::text, ',' ORDER BY m.prrelid)
            FROM pg_publication_rel m JOIN pg_class c ON c.oid = m.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE m.prpubid = p.oid), ''), 'UTF8')), 'hex') AS "definition"
  FROM pg_publication p
 WHERE p.pubname = ANY ($1)
 ORDER BY p.pubname;
