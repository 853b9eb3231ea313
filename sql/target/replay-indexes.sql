-- What keeps rows of a relation ($1, quoted) apart: its unique indexes and exclusion constraints. "columns" has '' for
-- an expression; "equals" the operators that compare them; "isPlain": the text of a value alone says whether two are
-- equal.
SELECT i.indisprimary                        AS "isPrimary",
       i.indisunique AND i.indimmediate AND i.indpred IS NULL AS "isKey",
       k.columns                             AS "columns",
       k.equals                              AS "equals",
       k.not_null                            AS "isNotNull",
       k.plain                               AS "isPlain"
  FROM pg_index i
 CROSS JOIN LATERAL (
       SELECT array_agg(coalesce(a.attname::text, '') ORDER BY p.place) AS columns,
              array_agg(format('OPERATOR(%I.%s)', coalesce(op_schema.nspname, 'pg_catalog'), coalesce(op.oprname, '='))
                        ORDER BY p.place) AS equals,
              bool_and(coalesce(a.attnotnull, false)) AS not_null,
              bool_and(coalesce(t.typnamespace = 'pg_catalog'::regnamespace
                                AND t.typname IN ('int2', 'int4', 'int8', 'uuid', 'text', 'varchar', 'date',
                                                  'timestamp', 'timestamptz', 'bytea', 'oid', 'bool')
                                AND coalesce((SELECT collisdeterministic FROM pg_collation
                                               WHERE oid = i.indcollation[p.place - 1]), true), false)) AS plain
         FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS p(attnum, place)
         LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = p.attnum AND p.attnum > 0
         LEFT JOIN pg_type t ON t.oid = a.atttypid
         LEFT JOIN pg_opclass oc ON oc.oid = i.indclass[p.place - 1]
         LEFT JOIN pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3 AND ao.amoppurpose = 's'
                             AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
                             AND oc.opcmethod = (SELECT oid FROM pg_am WHERE amname = 'btree')
         LEFT JOIN pg_operator op ON op.oid = ao.amopopr
         LEFT JOIN pg_namespace op_schema ON op_schema.oid = op.oprnamespace
        WHERE p.place <= i.indnkeyatts) AS k
 WHERE i.indrelid = to_regclass($1) AND (i.indisunique OR i.indisexclusion) AND i.indisvalid
 ORDER BY i.indisprimary DESC, i.indexrelid;
