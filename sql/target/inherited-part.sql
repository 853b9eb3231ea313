-- Whether a table ($1) has a column ($2) or a constraint ($3) from a parent.
SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2 AND attinhcount > 0)
    OR EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $3 AND (coninhcount > 0 OR conparentid <> 0)) AS "inherited";
