-- Which source this is, and what decides whether capture may stream from it: one row. Null where the set-up has not been.
SELECT to_regclass('tidemark.source_id') IS NOT NULL                 AS "installed",
       to_regclass('tidemark.secret') IS NOT NULL                    AS "hasSecret",
       current_setting('synchronous_standby_names')                  AS "synchronousNames",
       pg_snapshot_xmax(pg_current_snapshot())::text                 AS "nextXid";
