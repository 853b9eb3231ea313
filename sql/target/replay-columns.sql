-- The columns of a relation ($1, quoted) as a replay must know them. Domains are followed down to their base type, as
-- pgoutput's Type messages do. "castFrom" is a string type from which no cast of a user's own leads to the column's
-- type, so that a cast from it is the type's input function.
SELECT a.attname::text                       AS "name",
       b.oid::int8::text                     AS "typeOid",
       n.nspname::text                       AS "typeSchema",
       b.typname::text                       AS "typeName",
       a.atttypmod                           AS "typeModifier",
       format_type(a.atttypid, -1)           AS "type",
       a.attgenerated <> ''                  AS "isGenerated",
       a.attidentity = 'a'                   AS "isIdentityAlways",
       (SELECT s.name
          FROM (VALUES (1, 'pg_catalog.text'), (2, 'pg_catalog.varchar')) AS s(place, name)
         WHERE NOT EXISTS (SELECT FROM pg_cast c
                            WHERE c.castsource = to_regtype(s.name) AND c.casttarget IN (a.atttypid, b.oid)
                              AND c.castmethod = 'f' AND c.oid >= 16384
                              AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_cast'::regclass
                                                 AND d.objid = c.oid AND d.deptype = 'e'))
         ORDER BY s.place LIMIT 1)           AS "castFrom"
  FROM pg_attribute a
 CROSS JOIN LATERAL (WITH RECURSIVE down AS (
                        SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
                        UNION ALL
                        SELECT t.oid, t.typtype, t.typbasetype FROM down JOIN pg_type t ON t.oid = down.typbasetype
                         WHERE down.typtype = 'd')
                     SELECT oid FROM down WHERE typtype <> 'd') AS base
  JOIN pg_type b ON b.oid = base.oid
  JOIN pg_namespace n ON n.oid = b.typnamespace
 WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum;
